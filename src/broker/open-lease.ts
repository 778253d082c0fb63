import { encodeName } from '../target/credential-name.ts';
import { within } from '../foundation/clock.ts';
import { failure } from '../foundation/failure.ts';
import type { Failure } from '../foundation/failure.ts';
import { fail, succeed } from '../foundation/result.ts';
import type { Result } from '../foundation/result.ts';
import type { SecretText } from '../foundation/secret-text.ts';
import type { Lease, Task } from '../ledger/lease.ts';
import type { Admission, Admit, ExchangeFacts, NewTask } from '../ledger/ledger.ts';
import type { MintPlace } from '../mint/backend.ts';
import { tokenRoleOf } from '../mint/backend-names.ts';
import type { Decision } from '../policy/decision.ts';
import type { Ask } from './ask.ts';
import { backendFailed } from './backend-failed.ts';
import { clocksApart } from './clock-skew.ts';
import { decideExchange } from './decide-exchange.ts';
import type { Asked, Permit } from './decide-exchange.ts';
import { endOnce } from './end-until-dead.ts';
import { permitEvent } from './exchange-events.ts';
import {
  KEY_KEPT_SECONDS,
  MINT_DEADLINE_SECONDS,
  TOKEN_MARGIN_SECONDS,
  TOKEN_WAIT_MS,
} from './margins.ts';
import type { BrokerParts } from './parts.ts';
import type { ExchangePlan } from './plan-exchange.ts';
import type { RequestIdentity } from './repeated-request.ts';

/** A committed promise, and the token with which it may be kept. */
export type Opened = {
  readonly lease: Lease;
  readonly task: Task;
  readonly place: MintPlace;
  readonly token: SecretText;
  /** `clock.monotonicMs()` under the lock, before the commit: the mint deadline counts from here. */
  readonly openedAtMs: number;
};

/** `mayAudit`: a refusal by state or policy, whose event is still to be written. */
export type NotOpened = {
  readonly failure: Failure;
  readonly mayAudit: boolean;
  readonly decision?: Decision | undefined;
};

/**
 * Decides under the agent's lock and commits the lease in `minting` with the name that its
 * credential will have. The batch token is fetched beside that commit, once it is permitted: an
 * unused token is harmless, a mint without a committed name is not.
 */
export async function openLease(
  parts: BrokerParts,
  asked: Asked,
): Promise<Result<Opened, NotOpened>> {
  const { agent } = asked.caller;
  const promise: Promised = {
    leaseId: parts.ids.uuid(),
    taskId: parts.ids.uuid(),
    decisionId: parts.ids.uuid(),
    place: placeOf(asked.ask),
  };
  let openedAtMs = 0;
  let token: Promise<Result<SecretText, Failure>> | undefined;
  let decision: Decision | undefined;
  const admit: Admit = (facts) => {
    openedAtMs = parts.clock.monotonicMs();
    const apart = clocksApart(parts.clock, facts.now);
    if (apart) return fail(apart);
    const decided = decideExchange(asked, facts);
    decision = decided.ok ? decided.value.decision : decided.failure.decision;
    if (!decided.ok) return fail(decided.failure.failure);
    const name = nameOf(parts.installation, promise.leaseId, decided.value.plan);
    token = tokenInTime(parts, promise.place, name, decided.value.plan.ttlSeconds);
    // Awaited below, unless the commit fails.
    token.catch(() => undefined);
    return succeed(admission(asked, facts, decided.value, { ...promise, credentialName: name }));
  };
  const opened = await parts.ledger.openLease(
    { id: agent.id, owner: agent.owner },
    asked.ask.task.identifier,
    admit,
    asked.identity.keySha256,
  );
  if (!opened.ok) return fail({ failure: opened.failure, mayAudit: true, decision });
  if (token === undefined) throw new Error('a lease was opened that nobody admitted');
  endSuperseded(parts, opened.value.superseded);
  const { place } = promise;
  return withToken(parts, { ...opened.value, place, openedAtMs }, await token);
}

async function withToken(
  parts: BrokerParts,
  opened: Omit<Opened, 'token'>,
  token: Result<SecretText, Failure>,
): Promise<Result<Opened, NotOpened>> {
  if (token.ok) return succeed({ ...opened, token: token.value });
  await parts.ledger.recordMint({
    leaseId: opened.lease.id,
    outcome: 'unsent',
    backendLeaseId: null,
    credentialSha256: null,
  });
  return fail({ failure: backendFailed(token.failure, opened.lease), mayAudit: false });
}

function nameOf(installation: string, leaseId: string, { deadline }: ExchangePlan): string {
  return encodeName({ installation, leaseId, deadline });
}

/** Nobody waits for its death: the new lease does not depend on it. */
function endSuperseded(parts: BrokerParts, lease: Lease | null): void {
  if (lease === null) return;
  parts.metrics.ended('superseded');
  parts.background.run('end what a retry replaced', () => endOnce(parts, [lease]));
}

/** What comes too late is thrown away: nobody else can use it, and it ends by itself. */
async function tokenInTime(
  parts: BrokerParts,
  place: MintPlace,
  credentialName: string,
  ttlSeconds: number,
): Promise<Result<SecretText, Failure>> {
  const token = parts.minter.token(place, credentialName, ttlSeconds + TOKEN_MARGIN_SECONDS);
  return (
    (await within(parts.clock, TOKEN_WAIT_MS, token)) ??
    fail(failure('backend_unreachable', 'the secret backend did not answer in time'))
  );
}

function placeOf(ask: Ask): MintPlace {
  return {
    mount: ask.target.backend.mount,
    config: ask.target.backend.config,
    role: ask.scope.backend_role,
    tokenRole: tokenRoleOf(ask.scope.name),
  };
}

/** What is known of a lease before it is decided. */
type Promised = {
  readonly leaseId: string;
  readonly taskId: string;
  readonly decisionId: string;
  readonly place: MintPlace;
};

function admission(
  { caller, ask, identity, catalogueHash }: Asked,
  facts: ExchangeFacts,
  { plan, decision }: Permit,
  promise: Promised & { readonly credentialName: string },
): Admission {
  const { leaseId, decisionId, credentialName } = promise;
  return {
    openTask: plan.openTask ? null : newTask(promise.taskId, ask, plan),
    lease: {
      id: leaseId,
      instance: caller.instance,
      issuer: caller.token.issuer,
      subject: caller.token.subject,
      scope: ask.scope.name,
      revocability: ask.scope.revocability,
      credentialName,
      decisionId,
      deadline: plan.deadline,
      mintDeadlineSeconds: MINT_DEADLINE_SECONDS,
      backendEndsBy: backendEnd(facts.now, plan),
      requestSha256: identity.requestSha256,
      snapshot: {
        target: ask.target.name,
        kind: ask.target.kind,
        ...promise.place,
        proof: ask.scope.proof,
        catalogueHash,
      },
    },
    ...keyed(identity, facts),
    event: (openTaskId) =>
      permitEvent(decisionId, leaseId, openTaskId, {
        caller,
        ask,
        plan,
        decision,
        catalogueHash,
        credentialName,
        replacesLeaseId: facts.earlier?.lease.id,
      }),
  };
}

function keyed(
  { keySha256 }: RequestIdentity,
  { earlier }: ExchangeFacts,
): Pick<Admission, 'keyed'> {
  if (keySha256 === undefined) return {};
  const replaces = earlier?.lease.id ?? null;
  return { keyed: { keySha256, keptSeconds: KEY_KEPT_SECONDS, replaces } };
}

function newTask(id: string, ask: Ask, plan: ExchangePlan): NewTask {
  return {
    id,
    taskType: ask.taskType.name,
    identifier: ask.task.identifier,
    purpose: ask.task.purpose,
    workflow: ask.task.workflow,
    actions: ask.task.actions,
    locations: ask.task.locations,
    datatypes: ask.task.datatypes ?? null,
    parameters: ask.task.parameters,
    delegation: ask.task.delegation,
    deadline: plan.taskDeadline,
  };
}

/** The token is made within the mint deadline, lives for life and margin, and OpenBao rounds up. */
function backendEnd(now: Date, plan: ExchangePlan): Date {
  const seconds = MINT_DEADLINE_SECONDS + plan.ttlSeconds + TOKEN_MARGIN_SECONDS + 1;
  return new Date(now.getTime() + seconds * 1000);
}
