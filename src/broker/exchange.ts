import { failure } from '../foundation/failure.ts';
import type { Catalogue } from '../catalogue/catalogue.ts';
import type { Failure } from '../foundation/failure.ts';
import { fail, succeed } from '../foundation/result.ts';
import type { Result } from '../foundation/result.ts';
import { withSpan } from '../foundation/tracing.ts';
import type { AgentCaller } from '../identity/principal.ts';
import type { Decision, PolicyEngine } from '../policy/decision.ts';
import { findAsk } from './ask.ts';
import type { Ask } from './ask.ts';
import { guardAway } from './guard-away.ts';
import { keyHash, requestHash } from './repeated-request.ts';
import type { ExchangeGrant, ExchangeRequest } from './broker.ts';
import { declareTask } from './declare-task.ts';
import { denialEvent } from './exchange-events.ts';
import { withLedger } from './ledger-faults.ts';
import { mintCredential } from './mint-credential.ts';
import { openLease } from './open-lease.ts';
import type { BrokerParts } from './parts.ts';

/** What is known of an exchange as it goes on; a denial is recorded with as much as there is. */
type Progress = {
  readonly caller: AgentCaller;
  readonly catalogueHash: string;
  ask?: Ask;
  decision?: Decision | undefined;
};

/**
 * Trades a workload token and a declared task for one credential of one scope (RFC 8693). The
 * order is that of docs/architecture.md: who is asking, what for, may they, what do we promise,
 * make it, say so. Each refusal of a known agent leaves exactly one audit event (invariant I8), and
 * nothing refused reaches the backend. An agent that is refused without end is told to wait instead,
 * and nothing is decided.
 */
export async function exchange(
  parts: BrokerParts,
  request: ExchangeRequest,
): Promise<Result<ExchangeGrant, Failure>> {
  const started = parts.clock.monotonicMs();
  const seconds = () => (parts.clock.monotonicMs() - started) / 1000;
  const caller = await identify(parts, request);
  if (!caller.ok) {
    parts.metrics.refusedBeforeAgent(caller.failure.reason);
    return caller;
  }
  const outcome = await withSpan('exchange', { 'mayfly.agent': caller.value.agent.id }, () =>
    withLedger(() => exchangeFor(parts, caller.value, request)),
  );
  parts.metrics.exchanged(outcome.ok ? 'granted' : outcome.failure.reason, seconds());
  return outcome;
}

async function identify(
  parts: BrokerParts,
  request: ExchangeRequest,
): Promise<Result<AgentCaller, Failure>> {
  if (request.actorToken !== null) {
    return fail(
      failure(
        'actor_token_unsupported',
        'acting for a person or a parent is not supported yet; leave out actor_token',
        { field: 'actor_token' },
      ),
    );
  }
  return parts.authenticator.agent(request.subjectToken);
}

async function exchangeFor(
  parts: BrokerParts,
  caller: AgentCaller,
  request: ExchangeRequest,
): Promise<Result<ExchangeGrant, Failure>> {
  // Both at once: a reload between them would decide by one set and grant by the other.
  const catalogue = parts.catalogue.current();
  const engine = parts.policies();
  const agent = catalogue.agents.get(caller.agent.id);
  if (!agent) return fail(noLongerRegistered(caller));
  const tooOften = parts.denials.refusal(agent.id);
  if (tooOften) return fail(tooOften);
  return decideAndGrant(parts, { catalogue, engine }, { ...caller, agent }, request);
}

/** The catalogue may have been replaced while the token was verified. */
function noLongerRegistered(caller: AgentCaller): Failure {
  return failure('unmapped_identity', `agent ${caller.agent.id} is not registered any more`);
}

async function decideAndGrant(
  parts: BrokerParts,
  { catalogue, engine }: { readonly catalogue: Catalogue; readonly engine: PolicyEngine },
  caller: AgentCaller,
  request: ExchangeRequest,
): Promise<Result<ExchangeGrant, Failure>> {
  const progress: Progress = { caller, catalogueHash: catalogue.hash };

  const declared = declareTask(request.authorizationDetails, request.taskUrns);
  if (!declared.ok) return deny(parts, progress, declared.failure);
  const ask = findAsk(catalogue, caller.agent, request.scope, declared.value);
  if (!ask.ok) return deny(parts, progress, ask.failure);
  progress.ask = ask.value;
  // Nothing was decided yet, so there is nothing to record: ask again when endings work again.
  const unendable = parts.backlog.refusal(ask.value.target.name) ?? guardAway(parts, ask.value);
  if (unendable) return fail(unendable);

  const identity = {
    requestSha256: requestHash(declared.value, request.scope, request.ttlSeconds),
    keySha256: keyHash(caller.instance, request.idempotencyKey),
  };
  const opened = await openLease(parts, {
    engine,
    caller,
    ask: ask.value,
    wantedSeconds: request.ttlSeconds,
    identity,
    catalogueHash: catalogue.hash,
  });
  if (!opened.ok) {
    const { failure: refusal, mayAudit, decision } = opened.failure;
    return mayAudit ? deny(parts, { ...progress, decision }, refusal) : fail(refusal);
  }
  const credential = await mintCredential(parts, ask.value.target, opened.value);
  if (!credential.ok) return credential;
  return succeed({ ...credential.value, task: opened.value.task, granted: ask.value.task });
}

/** Records the refusal and answers it with the event's id, under which an operator finds it. */
async function deny(
  parts: BrokerParts,
  progress: Progress,
  refusal: Failure,
): Promise<Result<never, Failure>> {
  const id = parts.ids.uuid();
  parts.denials.recorded(progress.caller.agent.id);
  await parts.ledger.recordDenial(denialEvent(id, progress.caller, refusal, progress));
  return fail({ ...refusal, decisionId: id });
}
