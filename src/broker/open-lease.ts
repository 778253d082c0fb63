import { encodeName } from '../target/credential-name.ts';
import { failure } from '../foundation/failure.ts';
import type { Failure } from '../foundation/failure.ts';
import { fail, succeed } from '../foundation/result.ts';
import type { Result } from '../foundation/result.ts';
import type { SecretText } from '../foundation/secret-text.ts';
import type { AgentCaller } from '../identity/principal.ts';
import type { Lease, Task } from '../ledger/lease.ts';
import type { Admission, Admit, ExchangeFacts, NewTask } from '../ledger/ledger.ts';
import type { MintPlace } from '../mint/backend.ts';
import { tokenRoleOf } from '../mint/backend-names.ts';
import type { Decision } from '../policy/decision.ts';
import type { Ask } from './ask.ts';
import { backendFailed } from './backend-failed.ts';
import { endOnce } from './end-until-dead.ts';
import { permitEvent } from './exchange-events.ts';
import {
  KEY_KEPT_SECONDS,
  MINT_DEADLINE_SECONDS,
  TOKEN_MARGIN_SECONDS,
  TOKEN_WAIT_MS,
} from './margins.ts';
import type { BrokerParts } from './parts.ts';
import { planExchange } from './plan-exchange.ts';
import type { ExchangePlan } from './plan-exchange.ts';
import { withoutReplaced } from './repeated-request.ts';
import type { RequestIdentity } from './repeated-request.ts';

export type Permitted = {
  readonly caller: AgentCaller;
  readonly ask: Ask;
  readonly plan: ExchangePlan;
  readonly decision: Decision;
  readonly wantedSeconds: number | null;
  readonly identity: RequestIdentity;
  readonly catalogueHash: string;
};

/** A committed promise, and the token with which it may be kept. */
export type Opened = {
  readonly lease: Lease;
  readonly task: Task;
  readonly place: MintPlace;
  readonly token: SecretText;
  /** `clock.monotonicMs()` before the commit: the mint deadline counts from here. */
  readonly openedAtMs: number;
};

/**
 * `mayAudit`: a refusal by state, whose event is still to be written. `outdated`: the facts changed
 * between plan and commit so that another plan may well be admitted.
 */
export type NotOpened = {
  readonly failure: Failure;
  readonly mayAudit: boolean;
  readonly outdated: boolean;
};

/**
 * Commits the lease in `minting` with the name that its credential will have, and fetches the
 * batch token beside it: an unused token is harmless, a mint without a committed name is not.
 */
export async function openLease(
  parts: BrokerParts,
  permitted: Permitted,
): Promise<Result<Opened, NotOpened>> {
  const { agent } = permitted.caller;
  const leaseId = parts.ids.uuid();
  const place = placeOf(permitted.ask);
  const credentialName = encodeName({
    installation: parts.installation,
    leaseId,
    deadline: permitted.plan.deadline,
  });
  const openedAtMs = parts.clock.monotonicMs();
  const [opened, token] = await Promise.all([
    parts.ledger.openLease(
      { id: agent.id, owner: agent.owner },
      permitted.ask.task.identifier,
      admission(parts, permitted, { leaseId, credentialName, place }),
      permitted.identity.keySha256,
    ),
    tokenInTime(parts, place, credentialName, permitted.plan.ttlSeconds),
  ]);
  if (!opened.ok) {
    const refusal = opened.failure;
    return fail({ failure: refusal, mayAudit: true, outdated: refusal === OUTDATED });
  }
  endSuperseded(parts, opened.value.superseded);
  if (!token.ok) {
    await parts.ledger.recordMint({
      leaseId,
      outcome: 'unsent',
      backendLeaseId: null,
      credentialSha256: null,
    });
    const refusal = backendFailed(token.failure, opened.value.lease);
    return fail({ failure: refusal, mayAudit: false, outdated: false });
  }
  return succeed({ ...opened.value, place, token: token.value, openedAtMs });
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
  const waited = new AbortController();
  const late = parts.clock
    .sleep(TOKEN_WAIT_MS, waited.signal)
    .then(() => fail(failure('backend_unreachable', 'the secret backend did not answer in time')));
  const token = parts.minter.token(place, credentialName, ttlSeconds + TOKEN_MARGIN_SECONDS);
  const outcome = await Promise.race([token, late]);
  waited.abort();
  return outcome;
}

function placeOf(ask: Ask): MintPlace {
  return {
    mount: ask.target.backend.mount,
    config: ask.target.backend.config,
    role: ask.scope.backend_role,
    tokenRole: tokenRoleOf(ask.scope.name),
  };
}

/** A parallel exchange opened the task meanwhile, and it ends before the life that was decided. */
const OUTDATED: Failure = failure('task_ended', 'the task ends before the life that was decided', {
  field: 'identifier',
});

/** The pure decision that runs again inside the ledger's transaction, under the agent's lock. */
function admission(
  parts: BrokerParts,
  permitted: Permitted,
  minting: { leaseId: string; credentialName: string; place: MintPlace },
): Admit {
  const decisionId = parts.ids.uuid();
  const taskId = parts.ids.uuid();
  return (found) => {
    const { caller, ask, plan, identity } = permitted;
    const counted = withoutReplaced(found, identity.requestSha256);
    if (!counted.ok) return counted;
    const facts = counted.value;
    const again = planExchange(caller.agent, ask, permitted.wantedSeconds, facts);
    if (!again.ok) return again;
    if (again.value.deadline < plan.deadline) return fail(OUTDATED);
    return succeed<Admission>({
      openTask: again.value.openTask ? null : newTask(taskId, ask, again.value),
      lease: {
        id: minting.leaseId,
        instance: caller.instance,
        issuer: caller.token.issuer,
        subject: caller.token.subject,
        scope: ask.scope.name,
        revocability: ask.scope.revocability,
        credentialName: minting.credentialName,
        decisionId,
        deadline: plan.deadline,
        mintDeadlineSeconds: MINT_DEADLINE_SECONDS,
        backendEndsBy: backendEnd(facts.now, plan),
        requestSha256: identity.requestSha256,
        snapshot: {
          target: ask.target.name,
          kind: ask.target.kind,
          ...minting.place,
          proof: ask.scope.proof,
          catalogueHash: permitted.catalogueHash,
        },
      },
      ...keyed(identity, facts),
      event: (openTaskId) =>
        permitEvent(decisionId, minting.leaseId, openTaskId, {
          ...permitted,
          credentialName: minting.credentialName,
          replacesLeaseId: facts.earlier?.lease.id,
        }),
    });
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
