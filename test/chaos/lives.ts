import type { Client } from 'pg';
import type { World } from '../../dist/commands/demo/world.js';
import { sleep } from './random.ts';
import type { Random } from './random.ts';
import type { Operation } from './recipes.ts';
import { deadlineOf } from './record.ts';
import type { Handed, RunRecord } from './record.ts';
import { call, hold, tryLogin } from './wire.ts';
import type { Answer } from './wire.ts';

/** Where an exchange and where its ending are asked. */
export type Doors = { readonly exchangeAt: string; readonly endAt: string };

export type Ttl = {
  readonly ended: readonly [number, number];
  readonly abandoned: readonly [number, number];
};

export type Lives = {
  /** One life of one task, to its end or to where it is abandoned. */
  live(operation: Operation, doors: Doors): Promise<Handed | undefined>;
  /** Ends the task of a credential, as its agent would. */
  complete(handed: Handed, at: string): Promise<void>;
  reconcile(at: string): Promise<Answer>;
  /** True where this ledger was confirmed. */
  confirmLedger(at: string): Promise<boolean>;
  close(): Promise<void>;
};

const CALL_MS = 15_000;
const RECONCILE_MS = 30_000;

/** Workload tokens live five minutes. */
const TOKEN_MS = 120_000;

/** Long enough that a reconciliation calls it old. */
const LINGER_SECONDS = 60;

/** Sessions that holders keep open at a time. */
const SESSIONS_MAX = 20;

const EXCHANGE = {
  grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
  subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
} as const;

export function agents(world: World, random: Random, record: RunRecord, ttl: Ttl): Lives {
  const agent = renewed(async () => (await world.workloadToken('invoice-reconciler')).reveal());
  const writer = renewed(async () => (await world.workloadToken('report-writer')).reveal());
  const operator = renewed(async () => (await world.operatorToken('mayfly-operators')).reveal());
  const admin = renewed(async () => (await world.operatorToken('mayfly-admins')).reveal());
  const sessions = new Set<Client>();
  const targetPort = world.target.port;
  let counter = 0;

  async function exchange(at: string, seconds: number, timeoutMs = CALL_MS): Promise<Answer> {
    counter += 1;
    const form = exchangeForm(await agent(), {
      taskType: 'reconcile-invoice',
      identifier: `chaos-${process.pid}-${counter}`,
      scope: random.chance(0.2) ? 'orders-write' : 'orders-read',
      ttl: seconds,
    });
    const answer = await call(`${at}/exchange`, { form, timeoutMs });
    record.answered('exchange', answer.status);
    return answer;
  }

  async function writerExchange(at: string, scope: string, seconds: number): Promise<Answer> {
    counter += 1;
    const form = exchangeForm(await writer(), {
      taskType: 'write-report',
      identifier: `chaos-writer-${process.pid}-${counter}`,
      scope,
      ttl: seconds,
    });
    return call(`${at}/exchange`, { form, timeoutMs: CALL_MS });
  }

  async function reconcile(at: string): Promise<Answer> {
    const token = await operator();
    const common = { token, json: {}, timeoutMs: RECONCILE_MS };
    const answer = await call(`${at}/v1/reconciliations`, common);
    record.answered('reconcile', answer.status);
    // Only one at a time: another is at it.
    if (answer.status === 409 || answer.status === 503) await sleep(500);
    return answer;
  }

  /** Looks at the differences and confirms just them, which works where nothing changed between. */
  async function confirmLedger(at: string): Promise<boolean> {
    const common = { token: await admin(), timeoutMs: RECONCILE_MS };
    const shown = await call(`${at}/v1/ledger/confirm`, { ...common, json: {} });
    record.answered('differences', shown.status);
    if (shown.status !== 200) return false;
    const json = { confirmation: shown.body['confirmation'] };
    const confirmed = await call(`${at}/v1/ledger/confirm`, { ...common, json });
    record.answered('confirmation', confirmed.status);
    return confirmed.status === 200;
  }

  async function take(at: string, seconds: number): Promise<Handed | undefined> {
    return keep(await exchange(at, seconds));
  }

  function keep({ status, body }: Answer): Handed | undefined {
    if (status !== 200) return undefined;
    const { username: name } = body['credential'] as { username: string };
    const handed: Handed = {
      uri: String(body['access_token']),
      name,
      leaseId: String(body['lease_id']),
      taskId: String(body['task_id']),
      deadlineMs: deadlineOf(name),
    };
    record.handed.push(handed);
    return handed;
  }

  async function denied(at: string): Promise<void> {
    const { status } = await writerExchange(at, 'orders-write', 10);
    record.answered('denied exchange', status);
    if (status === 200) record.violate('granted what is not allowed', 'orders-write to a writer');
  }

  /** Stops an agent with all that it has, looks that nothing of it works, and lets it go again. */
  async function quarantine({ exchangeAt, endAt }: Doors): Promise<void> {
    const mine = keep(await writerExchange(exchangeAt, 'orders-read', 20));
    const token = await operator();
    const common = { token, json: { reason: 'chaos' }, timeoutMs: CALL_MS, waitSeconds: 5 };
    const stopped = await call(`${endAt}/v1/agents/report-writer/quarantine`, common);
    record.answered('quarantine', stopped.status);
    if (mine && stopped.status === 200) await mustBeDead(mine, undefined);
    await sleep(random.between(0, 1_500));
    const released = await call(`${endAt}/v1/agents/report-writer/release`, common);
    record.answered('release', released.status);
  }

  /** Ends all that one agent has, by a selector. */
  async function revokeSelected({ exchangeAt, endAt }: Doors): Promise<void> {
    const mine = keep(await writerExchange(exchangeAt, 'orders-read', 20));
    const json = { selector: { agent: 'report-writer' }, reason: 'chaos' };
    const common = { token: await operator(), json, timeoutMs: CALL_MS, waitSeconds: 5 };
    const { status } = await call(`${endAt}/v1/revocations`, common);
    record.answered('revoke selected', status);
    if (mine && status === 200) await mustBeDead(mine, undefined);
  }

  /** An operator has something tried again: mostly what cannot be dropped yet. */
  async function retry(at: string): Promise<void> {
    const some = record.pinned.length > 0 ? record.pinned : record.handed.slice(-200);
    if (some.length === 0) return;
    const token = await operator();
    const json = { reason: 'chaos' };
    const path = `${at}/v1/leases/${random.pick(some).leaseId}/retry`;
    const { status } = await call(path, { token, json, timeoutMs: CALL_MS, waitSeconds: 5 });
    record.answered('retry', status);
  }

  /** Some holders open a session and keep it until somebody ends it. */
  async function use({ uri }: Handed): Promise<Client | undefined> {
    if (sessions.size >= SESSIONS_MAX || !random.chance(0.3)) return undefined;
    const session = await hold(uri, targetPort);
    if (!session) return undefined;
    sessions.add(session);
    session.once('end', () => sessions.delete(session));
    return session;
  }

  async function end(
    operation: Operation,
    handed: Handed,
    session: Client | undefined,
    at: string,
  ): Promise<void> {
    const { status, body } = await endingCall(operation, handed, at);
    record.answered(operation, status);
    if (status === 200 && operation !== 'hand_back' && isDead(body)) {
      handed.deadSaidAtMs = Date.now();
      await mustBeDead(handed, session);
    }
  }

  async function endingCall(operation: Operation, handed: Handed, at: string): Promise<Answer> {
    const common = { timeoutMs: CALL_MS, waitSeconds: 5 };
    const reason = { reason: 'chaos' };
    switch (operation) {
      case 'revoke_lease': {
        const token = await operator();
        return call(`${at}/v1/leases/${handed.leaseId}/revoke`, { ...common, token, json: reason });
      }
      case 'revoke_task': {
        const token = await operator();
        return call(`${at}/v1/tasks/${handed.taskId}/revoke`, { ...common, token, json: reason });
      }
      case 'hand_back': {
        const form = new URLSearchParams({ token: handed.uri });
        return call(`${at}/revoke`, { ...common, token: await agent(), form });
      }
      default: {
        const json = { outcome: 'succeeded' };
        const token = await agent();
        return call(`${at}/v1/tasks/${handed.taskId}/complete`, { ...common, token, json });
      }
    }
  }

  /** A broker said that it is dead: then no login works, and no session that was open. */
  async function mustBeDead(handed: Handed, session: Client | undefined): Promise<void> {
    const says = session ? await session.query('select 1').catch(() => undefined) : undefined;
    if (says) record.violate('a session outlived the answer that it is dead', handed.name);
    if (!random.chance(0.4)) return;
    const login = await tryLogin(handed.uri, targetPort);
    record.tries[login] += 1;
    if (login === 'in') record.violate('a login outlived the answer that it is dead', handed.name);
  }

  async function live(operation: Operation, doors: Doors): Promise<Handed | undefined> {
    if (operation === 'denied') return void (await denied(doors.exchangeAt));
    if (operation === 'quarantine') return void (await quarantine(doors));
    if (operation === 'revoke_selected') return void (await revokeSelected(doors));
    if (operation === 'reconcile') return void (await reconcile(doors.endAt));
    if (operation === 'confirm_ledger') return void (await confirmLedger(doors.endAt));
    if (operation === 'retry') return void (await retry(doors.endAt));
    if (operation === 'give_up') {
      // At any point of the exchange: its answer is lost, and what it made must go.
      await exchange(doors.endAt, random.between(...ttl.abandoned), random.between(2, 40));
      return undefined;
    }
    const lingers = operation === 'linger';
    const abandons = operation === 'abandon' || lingers;
    const seconds = lingers
      ? LINGER_SECONDS
      : random.between(...(abandons ? ttl.abandoned : ttl.ended));
    const handed = await take(doors.exchangeAt, seconds);
    if (!handed) return undefined;
    const session = await use(handed);
    if (abandons) return handed;
    await sleep(random.between(0, 300));
    await end(operation, handed, session, doors.endAt);
    return handed;
  }

  return {
    live,
    reconcile,
    confirmLedger,
    complete: (handed, at) => end('complete', handed, undefined, at),
    close: async () => {
      await Promise.all([...sessions].map((session) => session.end().catch(() => undefined)));
    },
  };
}

/** Every lease that the answer tells of is dead. */
function isDead(body: Answer['body']): boolean {
  const leases = (body['leases'] as { state: string }[] | undefined) ?? [body as { state: string }];
  return leases.every(({ state }) => ['revoked', 'settled', 'abandoned'].includes(state));
}

function exchangeForm(
  token: string,
  wanted: { taskType: string; identifier: string; scope: string; ttl: number },
): URLSearchParams {
  return new URLSearchParams({
    ...EXCHANGE,
    subject_token: token,
    scope: wanted.scope,
    ttl: String(wanted.ttl),
    authorization_details: JSON.stringify([
      { type: 'agent_task', task_type: wanted.taskType, identifier: wanted.identifier },
    ]),
  });
}

/** Fetches again what is about to run out. */
function renewed(fetchOne: () => Promise<string>): () => Promise<string> {
  let kept: Promise<string> | undefined;
  let at = 0;
  return () => {
    if (kept === undefined || Date.now() - at > TOKEN_MS) {
      at = Date.now();
      kept = fetchOne();
      kept.catch(() => (kept = undefined));
    }
    return kept;
  };
}
