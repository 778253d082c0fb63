import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { LEASE_STATES, next } from '../../src/ledger/lease-states.ts';
import type { LeaseState, Transition } from '../../src/ledger/lease-states.ts';
import type { Lease } from '../../src/ledger/lease.ts';
import type { Ledger } from '../../src/ledger/ledger.ts';
import { admission, claimAll, death, ids, inSeconds, late, minted } from './support/examples.ts';
import { startLedgerServer } from './support/ledger-server.ts';
import type { LedgerServer, TestLedger } from './support/ledger-server.ts';

/**
 * Random steps of two replicas on one agent's leases, checked against a model that is nothing but
 * the table of transitions. Replay a failure with MAYFLY_SEED and MAYFLY_PATH, which it prints;
 * MAYFLY_RUNS makes it longer.
 */
const { MAYFLY_SEED, MAYFLY_PATH, MAYFLY_RUNS } = process.env;
const RUNS = Number(MAYFLY_RUNS ?? 25);
const seed = Number(MAYFLY_SEED ?? Date.now() % 2 ** 31);
const replay = { seed, numRuns: RUNS, ...(MAYFLY_PATH ? { path: MAYFLY_PATH } : {}) };

/** Steps are taken one after the other, or all of a group at once. */
type Step =
  | { readonly kind: 'open'; readonly task: number }
  | { readonly kind: 'mint'; readonly lease: number; readonly outcome: Outcome }
  | { readonly kind: 'endTask'; readonly task: number }
  | { readonly kind: 'endLease' | 'die' | 'settle' | 'late'; readonly lease: number }
  | { readonly kind: 'claim'; readonly limit: number }
  | { readonly kind: 'timeouts' | 'release' }
  | { readonly kind: 'wait'; readonly seconds: number };
type Outcome = 'minted' | 'refused' | 'unsent' | 'unknown';
type Move = { readonly by: 0 | 1; readonly step: Step };

const leaseIndex = fc.nat({ max: 5 });
const taskIndex = fc.nat({ max: 2 });
const anyStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('open' as const), task: taskIndex }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('mint' as const),
      lease: leaseIndex,
      outcome: fc.constantFrom<Outcome>('minted', 'minted', 'refused', 'unsent', 'unknown'),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('endTask' as const), task: taskIndex }) },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        'endLease' as const,
        'die' as const,
        'settle' as const,
        'late' as const,
      ),
      lease: leaseIndex,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('claim' as const),
      limit: fc.integer({ min: 1, max: 3 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constantFrom('timeouts' as const, 'release' as const) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('wait' as const),
      seconds: fc.constantFrom(11, 16, 61, 301, 601),
    }),
  },
);
const anyMove: fc.Arbitrary<Move> = fc.record({
  by: fc.constantFrom(0 as const, 1 as const),
  step: anyStep,
});

let server: LedgerServer;
let ledger: TestLedger;
let replicas: readonly [Ledger, Ledger];

beforeAll(async () => {
  console.log(`seed ${seed}, ${RUNS} runs: replay with MAYFLY_SEED=${seed}`);
  server = await startLedgerServer();
  ledger = await server.ledger();
  replicas = [ledger.connect('replica-1'), ledger.connect('replica-2')];
});
afterAll(async () => {
  await ledger.close();
  await server.stop();
});

/** What one run has made, in order. */
class Run {
  readonly agent = { id: `agent-${ids.uuid()}`, owner: 'finance-platform team' };
  readonly leaseIds: string[] = [];
  readonly taskIds = new Map<number, string>();
  shifted = 0;

  async take({ by, step }: Move): Promise<void> {
    const side = replicas[by];
    switch (step.kind) {
      case 'open':
        return await this.open(side, step.task);
      case 'wait':
        this.shifted += step.seconds;
        return await ledger.shiftClock(this.shifted);
      case 'claim':
        await claimAll(side, step.limit);
        return;
      case 'timeouts':
        await side.endTimedOutTasks(10);
        return;
      case 'release':
        await side.releaseClaims();
        return;
      case 'endTask':
        return await this.endTask(side, step.task);
      case 'mint':
      case 'endLease':
      case 'die':
      case 'settle':
      case 'late': {
        const id = this.leaseIds[step.lease];
        if (id !== undefined) await touch(side, id, step);
      }
    }
  }

  async open(side: Ledger, task: number): Promise<void> {
    const identifier = `task-${task}`;
    const opened = await side.openLease(this.agent, identifier, (facts) => {
      const ended = facts.task !== null && (facts.task.endedAt ?? facts.task.deadline) <= facts.now;
      const seen = ended ? { ...facts, task: null } : facts;
      // A lease never outlives its task.
      const deadline = earlier(seen.task?.deadline, inSeconds(facts.now, 300));
      return { ok: true, value: admission(seen, { task: { identifier }, lease: { deadline } }) };
    });
    // Too little was left of the task.
    if (!opened.ok) return;
    this.leaseIds.push(opened.value.lease.id);
    this.taskIds.set(task, opened.value.task.id);
  }

  async endTask(side: Ledger, task: number): Promise<void> {
    const taskId = this.taskIds.get(task);
    if (taskId === undefined) return;
    await side.endTask({ taskId, cause: 'completed', outcome: null, note: null, by: 'agent:x' });
  }
}

function earlier(one: Date | undefined, other: Date): Date {
  return one !== undefined && one < other ? one : other;
}

async function touch(
  side: Ledger,
  id: string,
  step: Extract<Step, { lease: number }>,
): Promise<void> {
  switch (step.kind) {
    case 'mint': {
      const made = step.outcome === 'minted' ? minted(id) : { leaseId: id };
      const none = { backendLeaseId: null, credentialSha256: null };
      await side.recordMint({ ...none, ...made, outcome: step.outcome });
      return;
    }
    case 'endLease':
      await side.endLease({ leaseId: id, cause: 'operator', reason: null, by: 'olivia' });
      return;
    case 'die':
      await side.recordDeaths([death(id)]);
      return;
    case 'settle':
      await side.recordSettled([id], 'sync revoke');
      return;
    case 'late':
      // Of these two attempts one at most was made in the state that it is in now.
      await side.recordLate([
        late(id, { retryInMs: 1_000 }),
        late(id, { retryInMs: 1_000, state: 'revoked' }),
      ]);
  }
}

/** Transitions that the events of a lease stand for, in the order of the states. */
const EVENT_OF: Readonly<Record<string, Transition>> = {
  'lease.activated': 'activate',
  'lease.abandoned': 'abandon',
  'lease.fenced': 'fence',
  'lease.revoked': 'revoke',
  'lease.settled': 'settle',
};

async function look(run: Run): Promise<ReadonlyMap<string, Lease>> {
  const page = await replicas[0].leases({ agentId: run.agent.id }, 1_000, null);
  return new Map(page.items.map((lease) => [lease.id, lease]));
}

function rank(state: LeaseState): number {
  return LEASE_STATES.indexOf(state);
}

/** A state can come after another if some chain of transitions leads there. */
function reachable(from: LeaseState, to: LeaseState): boolean {
  if (from === to) return true;
  return Object.values(EVENT_OF).some((transition) => {
    const state = next(from, transition);
    return state !== undefined && state !== from && reachable(state, to);
  });
}

function checkForward(before: ReadonlyMap<string, Lease>, after: ReadonlyMap<string, Lease>): void {
  for (const [id, was] of before) {
    const is = after.get(id);
    if (is === undefined) throw new Error('a lease is gone');
    expect([was.state, is.state, reachable(was.state, is.state)]).toEqual([
      was.state,
      is.state,
      true,
    ]);
    expect(is.credentialName).toBe(was.credentialName);
    expect(is.deadline).toEqual(was.deadline);
    expect(is.attempts).toBeGreaterThanOrEqual(rank(is.state) > rank(was.state) ? 0 : was.attempts);
    for (const once of [
      'activatedAt',
      'mintEndedAt',
      'fencedAt',
      'endCause',
      'revokedAt',
    ] as const) {
      if (was[once] !== null) expect(is[once]).toEqual(was[once]);
    }
    if (was.backendLeaseId !== null) expect(is.backendLeaseId).toBe(was.backendLeaseId);
  }
}

async function checkWhole(run: Run, leases: ReadonlyMap<string, Lease>): Promise<void> {
  const open = [...leases.values()].filter(({ state }) => rank(state) <= rank('revoking'));
  const facts = await replicas[1].readForExchange(run.agent.id, 'task-0');
  expect(facts.openLeases).toBe(open.length);
  for (const lease of leases.values()) {
    const events = await replicas[1].events({ leaseId: lease.id });
    const taken = events.flatMap(({ kind }) => EVENT_OF[kind] ?? []);
    // Exactly one event a transition, and the transitions lead from minting to where it is.
    expect(new Set(taken).size).toBe(taken.length);
    const walked = taken.reduce<LeaseState>((state, transition) => {
      const to = next(state, transition);
      if (to === undefined) throw new Error(`${state} cannot ${transition}`);
      return to;
    }, 'minting');
    expect(walked).toBe(lease.state);
    if (lease.state === 'active') {
      expect(lease.backendLeaseId).not.toBeNull();
      const task = await replicas[0].task(lease.taskId);
      expect([lease.id, task?.endedAt]).toEqual([lease.id, null]);
    }
    if (lease.state === 'revoked' || lease.state === 'settled')
      expect(lease.evidence).not.toBeNull();
  }
}

async function fresh(): Promise<Run> {
  await ledger.shiftClock(0);
  // Claims of this run are to meet this run's leases.
  await ledger.query('truncate mayfly.lease, mayfly.task, mayfly.opening cascade');
  return new Run();
}

describe('the state machine of a lease', () => {
  test('one step after the other', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyMove, { minLength: 5, maxLength: 40 }), async (moves) => {
        const run = await fresh();
        let before = await look(run);
        for (const move of moves) {
          await run.take(move);
          const after = await look(run);
          checkForward(before, after);
          before = after;
        }
        await checkWhole(run, before);
      }),
      replay,
    );
  }, 120_000);

  test('several at once, on two connections', async () => {
    const group = fc.array(anyMove, { minLength: 2, maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(fc.array(group, { minLength: 2, maxLength: 10 }), async (groups) => {
        const run = await fresh();
        let before = await look(run);
        for (const moves of groups) {
          const together = moves.filter(({ step }) => step.kind !== 'wait');
          for (const move of moves) if (move.step.kind === 'wait') await run.take(move);
          await Promise.all(together.map((move) => run.take(move)));
          const after = await look(run);
          checkForward(before, after);
          before = after;
        }
        await checkWhole(run, before);
      }),
      replay,
    );
  }, 120_000);
});
