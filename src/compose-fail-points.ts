import { AsyncLocalStorage } from 'node:async_hooks';
import { subscribe } from 'node:diagnostics_channel';
import { writeSync } from 'node:fs';
import type { ClientRequest, ServerResponse } from 'node:http';
import type { Broker } from './broker/broker.ts';
import type { BrokerParts, Targets } from './broker/parts.ts';
import { systemClock } from './foundation/clock.ts';
import { faultCounter } from './foundation/fail-point.ts';
import type { Fault, FaultAction } from './foundation/fail-point.ts';
import { failure } from './foundation/failure.ts';
import { fail } from './foundation/result.ts';
import { LedgerUnreachable } from './ledger/ledger.ts';
import type { Ledger } from './ledger/ledger.ts';
import type { MintOutcome } from './mint/backend.ts';
import { TargetUnreachable } from './target/target-unreachable.ts';
import type { TargetAccess } from './target/target-access.ts';

/** Broker and parts with their fail points; without faults nobody makes any of this. */
export type Armed = {
  parts(parts: BrokerParts): BrokerParts;
  broker(broker: Broker): Broker;
};

/**
 * Reads of the ledger: nothing is promised there, so that a death before or after one is a death
 * after or before its neighbours. Every other method commits, and has fail points.
 */
const LEDGER_READS: ReadonlySet<string> = new Set<keyof Ledger>([
  'installation',
  'now',
  'readForExchange',
  'dueTargets',
  'countSelected',
  'dyingSelected',
  'agents',
  'agent',
  'quarantinedNotFenced',
  'stops',
  'exchangesUnderWay',
  'selfCheck',
  'lease',
  'leaseByName',
  'leaseByCredential',
  'leases',
  'repeatsOf',
  'lateTargets',
  'task',
  'tasks',
  'events',
  'counts',
  'countClosed',
  'openLeases',
  'leasesByName',
  'leasesByBackendId',
  'lastReconciliation',
  'epoch',
]);

/**
 * What the methods of the broker are called in fail points; others go by their own name. All that
 * ends something because somebody asked for it is one use case: the steps are the same.
 */
const USE_CASES: Readonly<Record<string, string>> = {
  completeTask: 'complete',
  answerLost: 'revoke',
  revokeCredential: 'revoke',
  revokeLease: 'revoke',
  revokeTask: 'revoke',
  retryLease: 'revoke',
  quarantine: 'revoke',
  release: 'revoke',
  revokeSelected: 'revoke',
  reconcileWhenDue: 'reconcile',
};

/** Calls that make a credential, on OpenBao's side of the wire. */
const MINT_PATH = /\/creds\//;

type Port = 'ledger' | 'minter' | 'reaper' | 'guard' | 'prover';

type Reach = (point: string) => Promise<FaultAction | undefined>;

/**
 * Fail points for tests of crashes: every call of a use case to ledger (commits), OpenBao, guard
 * and prover, and every answer, has one before and one after; a mint has a third between sending
 * and answer. Which use case a call belongs to goes along with its asynchronous context, so that no
 * use case knows of any of this.
 */
export function armFailPoints(faults: readonly Fault[]): Armed {
  const context: Context = new AsyncLocalStorage();
  const reach = reacher(faults);
  const wrap = <Adapter extends object>(port: Port, adapter: Adapter): Adapter =>
    withFailPoints(adapter, (method) => {
      const running = context.getStore()?.useCase;
      const isRead = port === 'ledger' && LEDGER_READS.has(method);
      return running === undefined || isRead
        ? undefined
        : { port, reach, name: `${running}.${stepName(port, method)}` };
    });
  watchMints(context, reach);
  watchAnswers(context, reach);
  return {
    parts: (parts) => ({
      ...parts,
      ledger: wrap('ledger', parts.ledger),
      minter: wrap('minter', parts.minter),
      reaper: wrap('reaper', parts.reaper),
      targets: wrapTargets(parts.targets, wrap),
    }),
    broker: (broker) => inUseCases(broker, context, reach),
  };
}

/** What the code that runs belongs to; of a request it is known once it called the broker. */
type Running = { useCase?: string };

type Context = AsyncLocalStorage<Running>;

/** `openLease` of the ledger is the step `open_lease`, `end` of the guard is `guard_end`. */
export function stepName(port: Port, method: string): string {
  const snake = method.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return port === 'ledger' ? snake : `${port}_${snake}`;
}

/** What a method of the broker is called in fail points. */
export function useCaseName(method: string): string {
  return USE_CASES[method] ?? stepName('ledger', method);
}

export function isLedgerRead(method: string): boolean {
  return LEDGER_READS.has(method);
}

function reacher(faults: readonly Fault[]): Reach {
  const faultAt = faultCounter(faults);
  return async (point) => {
    const fault = faultAt(point);
    if (!fault) return undefined;
    if (fault.afterMs > 0) await systemClock.sleep(fault.afterMs);
    // Written at once: after a SIGKILL nobody else tells where it was.
    writeSync(2, `${JSON.stringify({ failPoint: point, action: fault.action })}\n`);
    if (fault.action === 'kill') process.kill(process.pid, 'SIGKILL');
    if (fault.action === 'stop') process.kill(process.pid, 'SIGSTOP');
    return fault.action;
  };
}

type Step = { readonly port: Port; readonly name: string; readonly reach: Reach };

function withFailPoints<Adapter extends object>(
  adapter: Adapter,
  stepOf: (method: string) => Step | undefined,
): Adapter {
  return new Proxy(adapter, {
    get(of, method) {
      const value: unknown = Reflect.get(of, method);
      if (typeof value !== 'function' || typeof method !== 'string') return value;
      return (...args: readonly unknown[]) => {
        const call = () => Reflect.apply(value, of, args) as Promise<unknown>;
        const step = stepOf(method);
        return step ? throughFailPoints(step, call) : call();
      };
    },
  });
}

async function throughFailPoints(
  { port, name, reach }: Step,
  call: () => Promise<unknown>,
): Promise<unknown> {
  if ((await reach(`${name}.before`)) === 'fail') return failed(port, name, 'unsent');
  const answer = await call();
  if ((await reach(`${name}.after`)) === 'fail') return failed(port, name, 'unknown');
  return answer;
}

/** In the form in which the port's own failures come. */
function failed(port: Port, name: string, kind: 'unsent' | 'unknown'): unknown {
  const detail = 'a fail point said so';
  if (port === 'ledger') throw new LedgerUnreachable(detail);
  if (port === 'guard' || port === 'prover') throw new TargetUnreachable(detail);
  if (name.endsWith('.minter_credential')) {
    return { kind, failure: failure('mint_unknown', detail) } satisfies MintOutcome;
  }
  return fail(failure('backend_unreachable', detail));
}

function wrapTargets(
  targets: Targets,
  wrap: <Adapter extends object>(port: Port, adapter: Adapter) => Adapter,
): Targets {
  return {
    names: () => targets.names(),
    access(target): TargetAccess | undefined {
      const access = targets.access(target);
      return (
        access && { guard: wrap('guard', access.guard), prover: wrap('prover', access.prover) }
      );
    },
  };
}

/** Each call of the broker, with all that it leaves behind, runs as its use case. */
function inUseCases(broker: Broker, context: Context, reach: Reach): Broker {
  return new Proxy(broker, {
    get(of, method) {
      const value: unknown = Reflect.get(of, method);
      if (typeof value !== 'function' || typeof method !== 'string') return value;
      const useCase = useCaseName(method);
      return (...args: readonly unknown[]) => {
        const request = context.getStore();
        const answer = context.run({ useCase }, () => Reflect.apply(value, of, args) as unknown);
        if (request === undefined || !(answer instanceof Promise)) return answer;
        request.useCase = useCase;
        return answer.finally(() => reach(`${useCase}.answer.before`));
      };
    },
  });
}

/** `finish` comes when the whole request was handed to the system, so OpenBao may have it. */
function watchMints(context: Context, reach: Reach): void {
  subscribe('http.client.request.start', (message) => {
    const { request } = message as { readonly request: ClientRequest };
    const useCase = context.getStore()?.useCase;
    if (useCase === undefined || !MINT_PATH.test(request.path)) return;
    request.once('finish', () => void reach(`${useCase}.minter_credential.sent`));
  });
}

/** An answer counts as written when it was handed to the system. */
function watchAnswers(context: Context, reach: Reach): void {
  subscribe('http.server.request.start', (message) => {
    const { response } = message as { readonly response: ServerResponse };
    const running: Running = {};
    context.enterWith(running);
    response.once('finish', () => {
      if (running.useCase !== undefined) void reach(`${running.useCase}.answer.after`);
    });
  });
}
