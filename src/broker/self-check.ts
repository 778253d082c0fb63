import { createHash } from 'node:crypto';
import { succeed } from '../foundation/result.ts';
import { encodeName } from '../target/credential-name.ts';
import type { Admit, NewLease } from '../ledger/ledger.ts';
import { SELECTS_NOTHING } from '../ledger/stop.ts';
import { endOnce, isDead } from './end-until-dead.ts';
import { MINT_DEADLINE_SECONDS } from './margins.ts';
import type { BrokerParts } from './parts.ts';

/**
 * A built-in agent that no catalogue can declare (its names have a colon) and no token maps to. It
 * is stopped for good between two checks.
 */
export const CANARY = {
  agent: 'mayfly:canary',
  scope: 'mayfly:canary',
  taskType: 'mayfly:canary',
  check: 'quarantine',
} as const;

/** Seconds: long enough for a slow ledger, and nothing is ever made that could live so long. */
const CANARY_LIFE_SECONDS = 60;

const BY = 'mayfly';
const REASON = 'self-check: does the switch still work?';

/**
 * Tries the switch on the canary, by the operations that real exchanges and quarantines use:
 * released, it gets a lease; quarantined, that lease is fenced under the mint that is under way, and
 * nothing new is opened. No credential is made. Answers what does not hold, or undefined.
 */
export async function checkQuarantine(parts: BrokerParts): Promise<string | undefined> {
  const { ledger } = parts;
  const stop = { agentId: CANARY.agent, by: BY, reason: REASON };
  await ledger.releaseAgent(stop);
  const opened = await exchangeOfCanary(parts);
  if (!opened.ok) return `a released agent was refused: ${opened.failure.reason}`;
  const { lease, task } = opened.value;
  await ledger.quarantineAgent(stop);
  const selector = { ...SELECTS_NOTHING, agentId: CANARY.agent };
  await ledger.fenceSelected(
    { selector, cause: 'quarantine', by: BY, reason: REASON, claim: true },
    CANARY_LEASES_MAX,
  );
  const unsent = { outcome: 'unsent', backendLeaseId: null, credentialSha256: null } as const;
  const after = await ledger.recordMint({ leaseId: lease.id, ...unsent });
  await endOnce(parts, [after]);
  const again = await exchangeOfCanary(parts);
  if (again.ok) {
    await ledger.recordMint({ leaseId: again.value.lease.id, ...unsent });
    return 'a quarantined agent was granted a lease';
  }
  if (again.failure.reason !== 'agent_quarantined') {
    return `a quarantined agent was refused for another reason: ${again.failure.reason}`;
  }
  await recordRefusal(parts);
  if (after.endCause !== 'quarantine') return 'a mint under way did not find its lease fenced';
  const done = { cause: 'revoked', outcome: null, note: REASON, by: BY } as const;
  const ended = await ledger.endTask({ taskId: task.id, ...done });
  return ended?.leases.every(isDead) ? undefined : 'a fenced lease did not end';
}

/** One is opened by each check; some may be left of a check that broke off. */
const CANARY_LEASES_MAX = 10;

/** Admits whatever it is told: what refuses is the ledger, under the agent's lock. */
function exchangeOfCanary(parts: BrokerParts) {
  const { ids, installation } = parts;
  const identifier = `check-${ids.uuid()}`;
  const leaseId = ids.uuid();
  const admit: Admit = ({ now }) => {
    const deadline = new Date((Math.ceil(now.getTime() / 1000) + CANARY_LIFE_SECONDS) * 1000);
    const credentialName = encodeName({ installation, leaseId, deadline });
    const lease = leaseOfCanary(ids.uuid(), { leaseId, credentialName, deadline });
    return succeed({
      openTask: taskOfCanary(ids.uuid(), identifier, deadline),
      lease,
      event: (taskId) => ({ ...eventOf('decision.permitted', lease.decisionId), taskId, leaseId }),
    });
  };
  return parts.ledger.openLease({ id: CANARY.agent, owner: BY }, identifier, admit);
}

function recordRefusal(parts: BrokerParts): Promise<void> {
  const event = eventOf('decision.denied', parts.ids.uuid());
  const body = { ...event.body, reason: 'agent_quarantined' };
  return parts.ledger.recordDenial({ ...event, taskId: null, leaseId: null, body });
}

function eventOf(kind: string, id: string) {
  return { id, kind, agentId: CANARY.agent, body: { agent: CANARY.agent, self_check: true } };
}

function taskOfCanary(id: string, identifier: string, deadline: Date) {
  return {
    id,
    taskType: CANARY.taskType,
    identifier,
    purpose: REASON,
    workflow: null,
    actions: [],
    locations: [],
    datatypes: null,
    parameters: {},
    delegation: null,
    deadline,
  };
}

function leaseOfCanary(
  decisionId: string,
  named: { readonly leaseId: string; readonly credentialName: string; readonly deadline: Date },
): NewLease {
  return {
    id: named.leaseId,
    credentialName: named.credentialName,
    deadline: named.deadline,
    decisionId,
    instance: BY,
    issuer: BY,
    subject: CANARY.agent,
    scope: CANARY.scope,
    revocability: 'revocable',
    requestSha256: createHash('sha256').update(named.leaseId).digest(),
    mintDeadlineSeconds: MINT_DEADLINE_SECONDS,
    backendEndsBy: named.deadline,
    // No target has this name: nothing is asked of any, since nothing is ever made.
    snapshot: {
      target: CANARY.agent,
      kind: 'postgres',
      mount: '',
      config: '',
      role: '',
      tokenRole: '',
      proof: 'backend',
      catalogueHash: '',
    },
  };
}
