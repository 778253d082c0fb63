import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { failure } from '../../src/foundation/failure.ts';
import { fail } from '../../src/foundation/result.ts';
import { CursorInvalid } from '../../src/ledger/ledger.ts';
import type { Ledger, OpenLease, Page } from '../../src/ledger/ledger.ts';
import { stoppingContract } from './stopping-contract.ts';
import {
  active,
  admission,
  AGENT,
  claimAll,
  death,
  ids,
  inSeconds,
  late,
  minted,
  newLease,
  open,
  value,
} from './support/examples.ts';

/** What the contract is tried on: one ledger, seen by two replicas, with a clock that can be set. */
export type LedgerUnderTest = {
  readonly first: Ledger;
  readonly second: Ledger;
  /** Seconds by which the ledger's clock is ahead of its server's from now on. */
  shiftClock(seconds: number): Promise<void>;
  close(): Promise<void>;
};

/** Names that the two replicas must carry. */
export const FIRST = 'replica-1';
export const SECOND = 'replica-2';

/** What every implementation of `Ledger` keeps. */
export function ledgerContract(make: () => Promise<LedgerUnderTest>): void {
  let world: LedgerUnderTest;
  let first: Ledger;
  let second: Ledger;

  beforeAll(async () => {
    world = await make();
    ({ first, second } = world);
  });
  afterAll(async () => {
    await world.close();
  });

  const agent = () => ({ id: `agent-${ids.uuid()}`, owner: 'finance-platform team' });
  const at = (target: string) => ({ snapshot: { ...newLease(new Date(0)).snapshot, target } });
  const kinds = async (of: Parameters<Ledger['events']>[0]) =>
    (await first.events(of)).map(({ kind }) => kind);

  describe('what is late', () => {
    const alarms = { notDeadSeconds: 10, notSettledSeconds: 300 };
    const at = (target: string) => ({
      snapshot: { ...newLease(new Date()).snapshot, target },
    });
    const fenced = async (more: Parameters<typeof active>[1]) => {
      const lease = await active(first, more);
      await first.endLease({ leaseId: lease.id, cause: 'operator', reason: null, by: 'olivia' });
      return lease.id;
    };

    test('is counted by target, from the deadline or the fence, with the most tried reason', async () => {
      const target = `late-${ids.uuid()}`;
      const early = await fenced({ lease: at(target) });
      const dead = await fenced({ lease: at(target) });
      await first.recordDeaths([death(dead)]);
      await active(first, { lease: at(target) });
      const shown = async () =>
        (await second.lateTargets(alarms, 1000)).find((late) => late.target === target);
      const before = await first.counts(alarms);
      expect(await shown()).toBeUndefined();
      await first.recordLate([late(early, { reason: 'refused' })]);
      await first.recordLate([late(early, { reason: 'refused again' })]);
      await first.recordLate([late(dead, { state: 'revoked', reason: 'sealed' })]);
      await world.shiftClock(20);
      expect(await shown()).toEqual({
        target,
        notDeadInTime: 1,
        notSettled: 0,
        reason: 'refused again',
      });
      expect((await first.counts(alarms)).notDeadInTime).toBeGreaterThan(before.notDeadInTime);
      await world.shiftClock(330);
      expect(await shown()).toMatchObject({ notDeadInTime: 2, notSettled: 1 });
      expect(await first.lateTargets(alarms, 1)).toHaveLength(1);
      await world.shiftClock(0);
    });

    test('what is closed is counted page by page, as often as anybody likes', async () => {
      const count = async (limit: number) => {
        const byState = { settled: 0, abandoned: 0 };
        for (let cursor: string | null | undefined; cursor !== null;) {
          const page = await second.countClosed(limit, cursor ?? null);
          byState.settled += page.byState.settled;
          byState.abandoned += page.byState.abandoned;
          ({ cursor } = page);
        }
        return byState;
      };
      const before = await count(2);
      const { lease } = await open(first);
      await first.recordMint({ ...minted(lease.id), outcome: 'refused' });
      const [dead, settled] = [await fenced({}), await fenced({})];
      await first.recordDeaths([death(dead), death(settled)]);
      await active(first);
      await first.recordSettled([settled], 'revoked at the backend');
      const after = { settled: before.settled + 1, abandoned: before.abandoned + 1 };
      expect(await count(2)).toEqual(after);
      expect(await count(10_000)).toEqual(after);
    });

    test('is claimed again at once when asked for, unless another replica is at it', async () => {
      const id = await fenced({});
      await first.recordLate([late(id, { retryInMs: 9_000 })]);
      const again = await second.claimAgain(id, 'olivia', 'it is back');
      expect(again).toMatchObject({ state: 'revoking', claimOwner: SECOND, attempts: 1 });
      expect(await kinds({ leaseId: id })).toContain('lease.retried');
      const other = await first.claimAgain(id, 'olivia', 'it is back');
      expect(other).toEqual(again);

      await second.recordDeaths([death(id, { residue: 'stuck' })]);
      await second.recordSettled([id], 'revoked at the backend');
      expect(await first.claimAgain(id, 'olivia', 'x')).toMatchObject({
        state: 'settled',
        claimOwner: FIRST,
      });
    });

    test('what is live or closed is answered as it is, and what does not exist is null', async () => {
      const live = await active(first);
      expect(await first.claimAgain(live.id, 'olivia', 'x')).toEqual(live);
      expect(await kinds({ leaseId: live.id })).not.toContain('lease.retried');
      expect(await first.claimAgain(ids.uuid(), 'olivia', 'x')).toBeNull();
      expect(await first.claimAgain('nonsense', 'olivia', 'x')).toBeNull();
    });
  });

  describe('an Idempotency-Key', () => {
    const ask = { keySha256: randomBytes(32), keptSeconds: 60 };

    /** Opens with the key, replacing what it stood for, as the broker does. */
    async function openKeyed(
      ledger: Ledger,
      one: { readonly id: string; readonly owner: string },
      keySha256: Buffer,
      requestSha256 = randomBytes(32),
    ) {
      const admit = (facts: Parameters<typeof admission>[0]) => ({
        ok: true as const,
        value: {
          ...admission(facts, { lease: { requestSha256 }, task: { identifier: 'keyed' } }),
          keyed: { ...ask, keySha256, replaces: facts.earlier?.lease.id ?? null },
        },
      });
      return value(await ledger.openLease(one, 'keyed', admit, keySha256));
    }

    test('stands for the lease of its last exchange, which the next one fences', async () => {
      const [one, other] = [agent(), agent()];
      const [key, requestSha256] = [randomBytes(32), randomBytes(32)];
      expect((await first.readForExchange(one.id, 'keyed', key)).earlier).toBeNull();
      const opened = await openKeyed(first, one, key, requestSha256);
      expect(opened).toMatchObject({ superseded: null, lease: { replacesLeaseId: null } });
      const live = await first.recordMint(minted(opened.lease.id));

      const { earlier } = await second.readForExchange(one.id, 'keyed', key);
      expect(earlier).toEqual({ requestSha256, lease: live });
      expect((await second.readForExchange(other.id, 'keyed', key)).earlier).toBeNull();
      expect((await second.readForExchange(one.id, 'keyed')).earlier).toBeNull();

      const again = await openKeyed(second, one, key, requestSha256);
      expect(again.lease).toMatchObject({ state: 'minting', replacesLeaseId: live.id });
      expect(again.superseded).toMatchObject({
        id: live.id,
        state: 'revoking',
        endCause: 'superseded',
        claimOwner: SECOND,
      });
      expect(await first.lease(live.id)).toEqual(again.superseded);
      expect(await kinds({ leaseId: live.id })).toContain('lease.fenced');
      const after = await first.readForExchange(one.id, 'keyed', key);
      expect(after.earlier?.lease.id).toBe(again.lease.id);

      await first.recordDeaths([death(live.id)]);
      expect(await openKeyed(first, one, key)).toMatchObject({
        lease: { replacesLeaseId: again.lease.id },
        superseded: { id: again.lease.id },
      });
    });

    test('what it stands for is read under the lock: of two at once the second sees the first', async () => {
      const one = agent();
      const key = randomBytes(32);
      await open(first, { agent: one });
      const both = await Promise.all([openKeyed(first, one, key), openKeyed(second, one, key)]);
      const before = both.find(({ lease }) => lease.replacesLeaseId === null);
      const after = both.find(({ lease }) => lease.replacesLeaseId !== null);
      expect(before).toBeDefined();
      expect(after?.superseded?.id).toBe(before?.lease.id);
    });

    test('a refusal changes nothing of it', async () => {
      const one = agent();
      const key = randomBytes(32);
      const { lease } = await openKeyed(first, one, key);
      const no = fail(failure('policy_denied', 'no'));
      expect(await first.openLease(one, 'keyed', () => no, key)).toEqual(no);
      expect((await first.lease(lease.id))?.state).toBe('minting');
    });

    test('is forgotten after its time, some at a time', async () => {
      const one = agent();
      const keys = [randomBytes(32), randomBytes(32), randomBytes(32)];
      for (const key of keys) await openKeyed(first, one, key);
      await first.forgetKeys(1000);
      expect((await first.readForExchange(one.id, 'keyed', keys[0])).earlier).not.toBeNull();
      await world.shiftClock(61);
      expect((await first.readForExchange(one.id, 'keyed', keys[0])).earlier).toBeNull();
      expect(await first.forgetKeys(2)).toBe(2);
      expect(await second.forgetKeys(1000)).toBeGreaterThanOrEqual(1);
      expect(await first.forgetKeys(1000)).toBe(0);
      await world.shiftClock(0);
      expect((await first.readForExchange(one.id, 'keyed', keys[2])).earlier).toBeNull();
    });

    test('repeats are equal requests of one instance within the time asked for', async () => {
      const one = agent();
      const requestSha256 = randomBytes(32);
      const asked = async (more: Parameters<typeof open>[1] = {}) =>
        (await open(first, { agent: one, ...more, lease: { requestSha256, ...more?.lease } })).lease
          .id;
      const before = await asked();
      const again = await asked();
      const otherwise = await asked({ lease: { requestSha256: randomBytes(32) } });
      const elsewhere = await asked({ lease: { instance: 'pod-2' } });
      const others = await asked({ agent: agent() });
      const third = await asked();
      const all = [before, again, otherwise, elsewhere, others, third];
      expect(await second.repeatsOf(all, 10)).toEqual(
        new Map([
          [again, before],
          [third, again],
        ]),
      );
      expect(await second.repeatsOf([], 10)).toEqual(new Map());
      expect(await second.repeatsOf([third], 0)).toEqual(new Map());
    });
  });

  describe('opening a lease', () => {
    test('commits task, lease and event together, before any credential exists', async () => {
      const { lease, task } = await open(first, { identifier: 'invoice-1' });
      expect(lease).toMatchObject({ state: 'minting', taskId: task.id, backendLeaseId: null });
      expect(lease.claimOwner).toBe(FIRST);
      expect(lease.mintDeadline.getTime() - lease.createdAt.getTime()).toBe(10_000);
      expect(await second.lease(lease.id)).toEqual(lease);
      expect(await second.leaseByName(lease.credentialName)).toEqual(lease);
      expect(await second.task(task.id)).toEqual(task);
      expect(await kinds({ taskId: task.id })).toEqual(['task.opened', 'lease.minting']);
      expect(await kinds({ leaseId: lease.id })).toEqual(['lease.minting']);
    });

    test('joins the open task of the same agent and identifier, and of no other agent', async () => {
      const [one, other] = [agent(), agent()];
      const { task } = await open(first, { identifier: 'invoice-2', agent: one });
      expect((await open(second, { identifier: 'invoice-2', agent: one })).task).toEqual(task);
      const elsewhere = await open(first, { identifier: 'invoice-2', agent: other });
      expect(elsewhere.task.id).not.toBe(task.id);
    });

    test('shows the counts that the caps need, again under lock', async () => {
      const one = agent();
      const ended = await active(first, { agent: one });
      await open(first, { agent: one });
      expect(await first.readForExchange(one.id, 'none')).toMatchObject({
        openLeases: 2,
        recentLeases: 2,
        task: null,
      });
      await first.endLease({ leaseId: ended.id, cause: 'completed', reason: null, by: 'x' });
      await first.recordDeaths([death(ended.id)]);
      const seen = await first.openLease(one, 'some', (facts) => {
        expect(facts).toMatchObject({ openLeases: 1, recentLeases: 2 });
        return fail(failure('limit_open_leases', 'the cap'));
      });
      expect(seen).toEqual(fail(failure('limit_open_leases', 'the cap')));
    });

    test('a refusal leaves nothing behind', async () => {
      const one = agent();
      await first.openLease(one, 'refused', () => fail(failure('policy_denied', 'no')));
      expect(await first.readForExchange(one.id, 'refused')).toMatchObject({
        openLeases: 0,
        recentLeases: 0,
        task: null,
      });
    });

    test('an admission that throws leaves nothing behind and is not swallowed', async () => {
      const one = agent();
      const broken = first.openLease(one, 'broken', () => {
        throw new RangeError('a bug');
      });
      await expect(broken).rejects.toThrow(RangeError);
      expect((await first.readForExchange(one.id, 'broken')).task).toBeNull();
    });

    test('a life of less than two seconds is refused, and worth another try', async () => {
      const short = (facts: Parameters<typeof admission>[0], ms: number) =>
        admission(facts, {
          lease: { deadline: inSeconds(facts.now, ms / 1000) },
          task: { identifier: 'short' },
        });
      const refused = await first.openLease(agent(), 'short', (facts) => ({
        ok: true,
        value: short(facts, 1_999),
      }));
      expect(refused).toMatchObject({
        ok: false,
        failure: { reason: 'ledger_unreachable', retryAfterSeconds: 1 },
      });
      const admitted = await first.openLease(agent(), 'short', (facts) => ({
        ok: true,
        value: short(facts, 2_000),
      }));
      expect(admitted.ok).toBe(true);
    });

    test('does not join a task that has ended, whatever was admitted', async () => {
      const { task, lease } = await open(first, { identifier: 'ended' });
      await first.endTask({
        taskId: task.id,
        cause: 'completed',
        outcome: null,
        note: null,
        by: 'x',
      });
      const joined = await first.openLease({ ...AGENT, id: lease.agentId }, 'ended', (facts) => ({
        ok: true,
        value: { ...admission(facts), openTask: null },
      }));
      expect(joined).toMatchObject({ ok: false, failure: { reason: 'task_ended' } });
    });

    test('an identifier can be opened anew after its task ended; the newest is shown', async () => {
      const one = agent();
      const { task } = await open(first, { identifier: 'again', agent: one });
      await first.endTask({
        taskId: task.id,
        cause: 'completed',
        outcome: null,
        note: null,
        by: 'x',
      });
      const facts = await first.readForExchange(one.id, 'again');
      expect(facts.task).toMatchObject({ id: task.id, endCause: 'completed' });
      const next = await open(first, { identifier: 'again', agent: one });
      expect(next.task.id).not.toBe(task.id);
      expect((await first.readForExchange(one.id, 'again')).task?.id).toBe(next.task.id);
    });

    test('a name, an id and a hash are used once', async () => {
      const { lease } = await open(first);
      await expect(open(first, { lease: { id: lease.id } })).rejects.toThrow();
      await expect(
        open(first, { lease: { credentialName: lease.credentialName } }),
      ).rejects.toThrow();
      const record = minted(lease.id);
      await first.recordMint(record);
      const other = await open(first);
      await expect(first.recordMint({ ...record, leaseId: other.lease.id })).rejects.toThrow();
    });
  });

  test('a task of another identifier than the one asked about is not opened', async () => {
    const one = agent();
    const other = first.openLease(one, 'asked', (facts) => ({
      ok: true,
      value: admission(facts, { task: { identifier: 'another' } }),
    }));
    await expect(other).rejects.toThrow(TypeError);
    expect((await first.tasks({ agentId: one.id }, 1, null)).items).toEqual([]);
  });

  describe('recording a mint', () => {
    test('minted: active, with the backend lease id and the hash (I1)', async () => {
      const { lease } = await open(first);
      const record = minted(lease.id);
      const after = await first.recordMint(record);
      expect(after).toMatchObject({
        state: 'active',
        mintOutcome: 'minted',
        backendLeaseId: record.backendLeaseId,
        claimOwner: null,
      });
      expect(after.activatedAt).toEqual(after.mintEndedAt);
      expect(await second.leaseByCredential(record.credentialSha256)).toEqual(after);
      expect(await kinds({ leaseId: lease.id })).toEqual(['lease.minting', 'lease.activated']);
    });

    test.each(['refused', 'unsent'] as const)('%s: abandoned', async (outcome) => {
      const { lease } = await open(first);
      const none = { leaseId: lease.id, outcome, backendLeaseId: null, credentialSha256: null };
      expect(await first.recordMint(none)).toMatchObject({
        state: 'abandoned',
        mintOutcome: outcome,
      });
      expect(await kinds({ leaseId: lease.id })).toEqual(['lease.minting', 'lease.abandoned']);
    });

    test('unknown: fenced, and due at once for whoever comes', async () => {
      const { lease } = await open(first);
      const after = await first.recordMint({ ...minted(lease.id), outcome: 'unknown' });
      expect(after).toMatchObject({
        state: 'revoking',
        endCause: 'mint_unknown',
        claimOwner: null,
      });
      expect((await claimAll(second, 1_000)).map(({ id }) => id)).toContain(lease.id);
    });

    test('without a backend lease id or hash nothing is ever active (I1)', async () => {
      const { lease } = await open(first);
      await expect(
        first.recordMint({ ...minted(lease.id), backendLeaseId: null }),
      ).rejects.toThrow();
      await expect(
        first.recordMint({ ...minted(lease.id), credentialSha256: null }),
      ).rejects.toThrow();
      expect((await first.lease(lease.id))?.state).toBe('minting');
    });

    test('a repetition changes nothing; nothing but unknown is corrected', async () => {
      const { lease } = await open(first);
      const record = minted(lease.id);
      const once = await first.recordMint(record);
      expect(await second.recordMint(record)).toEqual(once);
      expect(await second.recordMint({ ...record, outcome: 'unknown' })).toEqual(once);
      expect(await kinds({ leaseId: lease.id })).toEqual(['lease.minting', 'lease.activated']);
    });

    test('is kept in any state, also when the lease was fenced meanwhile', async () => {
      const { lease } = await open(first);
      await second.endLease({ leaseId: lease.id, cause: 'operator', reason: 'stop', by: 'olivia' });
      const record = minted(lease.id);
      const after = await first.recordMint(record);
      expect(after).toMatchObject({
        state: 'revoking',
        endCause: 'operator',
        mintOutcome: 'minted',
        backendLeaseId: record.backendLeaseId,
        claimOwner: SECOND,
        activatedAt: null,
      });
      expect((await first.leaseByCredential(record.credentialSha256))?.id).toBe(lease.id);
    });

    test('what was unknown is corrected when the mint ends after all', async () => {
      const { lease } = await open(first);
      const none = { leaseId: lease.id, backendLeaseId: null, credentialSha256: null };
      await first.recordMint({ ...none, outcome: 'unknown' });
      const record = minted(lease.id);
      const late = await first.recordMint(record);
      expect(late).toMatchObject({ state: 'revoking', mintOutcome: 'minted' });
      expect(late.backendLeaseId).toBe(record.backendLeaseId);
    });
  });

  describe('ending', () => {
    const complete = {
      cause: 'completed',
      outcome: 'succeeded',
      note: 'done',
      by: 'agent:x',
    } as const;

    test('a task ends once, and all its leases are fenced and claimed', async () => {
      const one = agent();
      const minting = await open(first, { identifier: 'both', agent: one });
      const live = await active(first, { identifier: 'both', agent: one });
      const ended = await second.endTask({ taskId: live.taskId, agentId: one.id, ...complete });
      expect(ended?.endedNow).toBe(true);
      expect(ended?.task).toMatchObject({
        endCause: 'completed',
        outcome: 'succeeded',
        note: 'done',
      });
      expect(ended?.leases.map(({ id }) => id)).toEqual([minting.lease.id, live.id]);
      for (const lease of ended?.leases ?? []) {
        expect(lease).toMatchObject({
          state: 'revoking',
          endCause: 'completed',
          claimOwner: SECOND,
        });
      }
      const again = await first.endTask({ taskId: live.taskId, ...complete, outcome: 'failed' });
      expect(again).toEqual({ ...ended, endedNow: false });
      expect(await kinds({ taskId: live.taskId })).toEqual([
        'task.opened',
        'lease.minting',
        'lease.minting',
        'lease.activated',
        'task.ended',
        'lease.fenced',
        'lease.fenced',
      ]);
    });

    test('a task answers all that may live, and the newest 200 of the others', async () => {
      const many = { identifier: ids.uuid() };
      const oldest = await active(first, many);
      const refused: string[] = [];
      for (let n = 0; n < 202; n++) {
        const { lease } = await open(first, many);
        await first.recordMint({ ...minted(lease.id), outcome: 'refused' });
        refused.push(lease.id);
      }
      const ended = await second.endTask({ taskId: oldest.taskId, ...complete });
      const answered = ended?.leases.map(({ id }) => id);
      expect(answered).toEqual([oldest.id, ...refused.sort().slice(2)]);
      expect(ended?.leaseCount).toBe(203);
    });

    test("a task without leases left, another agent's task, and no task", async () => {
      const { lease, task } = await open(first);
      await first.recordMint({ ...minted(lease.id), outcome: 'refused' });
      expect(await first.endTask({ taskId: task.id, agentId: 'another', ...complete })).toBeNull();
      expect(await first.endTask({ taskId: ids.uuid(), ...complete })).toBeNull();
      expect(await first.endTask({ taskId: 'not-an-id', ...complete })).toBeNull();
      const ended = await first.endTask({ taskId: task.id, ...complete });
      expect(ended?.leases.map(({ state }) => state)).toEqual(['abandoned']);
    });

    test('whose hand it was is the cause of the leases', async () => {
      const byHolder = await active(first);
      const byOperator = await active(first);
      const end = { cause: 'revoked', outcome: null, note: 'leaked' } as const;
      const one = await first.endTask({ taskId: byHolder.taskId, by: 'agent:x', ...end });
      const two = await first.endTask({ taskId: byOperator.taskId, by: 'olivia', ...end });
      expect(one?.leases[0]).toMatchObject({ endCause: 'revoked_by_holder', endReason: 'leaked' });
      expect(two?.leases[0]?.endCause).toBe('operator');
    });

    test('one lease: fenced once, with cause and reason; unknown ones are null', async () => {
      const lease = await active(first);
      const end = { leaseId: lease.id, cause: 'operator', reason: 'leaked', by: 'olivia' } as const;
      const fenced = await first.endLease(end);
      expect(fenced).toMatchObject({
        fencedNow: true,
        lease: { state: 'revoking', endCause: 'operator', claimOwner: FIRST },
      });
      const again = { ...fenced, fencedNow: false };
      expect(await second.endLease({ ...end, cause: 'completed' })).toEqual(again);
      expect(await first.endLease(end)).toEqual(again);
      expect(await first.endLease({ ...end, leaseId: ids.uuid() })).toBeNull();
      expect(await first.endLease({ ...end, leaseId: 'nonsense' })).toBeNull();
      expect((await first.task(lease.taskId))?.endedAt).toBeNull();
    });

    test('death needs the fence first, carries the evidence, and happens once', async () => {
      const lease = await active(first);
      expect(await first.recordDeaths([death(lease.id)])).toEqual([]);
      await first.endLease({ leaseId: lease.id, cause: 'operator', reason: null, by: 'olivia' });
      const [dead] = await first.recordDeaths([death(lease.id)]);
      expect(dead).toMatchObject({
        state: 'revoked',
        evidence: { look: { roleExists: false, sessions: 0 } },
        targetOid: 16_400,
        residue: null,
      });
      expect(await second.recordDeaths([death(lease.id)])).toEqual([]);
      const [settled] = await first.recordSettled([lease.id], 'sync revoke');
      expect(settled).toMatchObject({ state: 'settled', claimOwner: null, nextAttemptAt: null });
      expect(await second.recordSettled([lease.id], 'sync revoke')).toEqual([]);
      expect(await kinds({ leaseId: lease.id })).toEqual([
        'lease.minting',
        'lease.activated',
        'lease.fenced',
        'lease.revoked',
        'lease.settled',
      ]);
    });

    test('nothing is settled that is not dead', async () => {
      const lease = await active(first);
      await first.endLease({ leaseId: lease.id, cause: 'operator', reason: null, by: 'olivia' });
      expect(await first.recordSettled([lease.id], 'no')).toEqual([]);
      expect((await first.lease(lease.id))?.state).toBe('revoking');
    });

    test('a lowered proof and an oid seen before are kept', async () => {
      const lease = await active(first);
      await first.endLease({ leaseId: lease.id, cause: 'operator', reason: null, by: 'olivia' });
      await first.recordLate([late(lease.id, { targetOid: 4_294_967_295 })]);
      const lowered = { revocability: 'revocable', revocabilityReason: 'no prover' } as const;
      const [dead] = await first.recordDeaths([
        { ...death(lease.id), ...lowered, targetOid: null },
      ]);
      expect(dead).toMatchObject({ ...lowered, targetOid: 4_294_967_295 });
    });

    test('empty lists are fine', async () => {
      expect(await first.recordDeaths([])).toEqual([]);
      expect(await first.recordSettled([], 'none')).toEqual([]);
      await first.recordLate([]);
    });
  });

  describe('what is late', () => {
    test('attempts are counted, the claim is given up, and only a new reason is an event', async () => {
      const lease = await active(first);
      await first.endLease({ leaseId: lease.id, cause: 'operator', reason: null, by: 'olivia' });
      await first.recordLate([late(lease.id)]);
      await first.recordLate([late(lease.id)]);
      await first.recordLate([late(lease.id, { reason: 'role is locked', retryInMs: 60_000 })]);
      const after = await first.lease(lease.id);
      expect(after).toMatchObject({ attempts: 3, lateReason: 'role is locked', claimOwner: null });
      expect(
        (await kinds({ leaseId: lease.id })).filter((kind) => kind === 'lease.late'),
      ).toHaveLength(2);
      expect((await claimAll(second, 1_000)).map(({ id }) => id)).not.toContain(lease.id);
    });

    test('an attempt that was overtaken changes nothing of what came of another', async () => {
      const lease = await active(first);
      await first.endLease({ leaseId: lease.id, cause: 'operator', reason: null, by: 'olivia' });
      const said = { reason: 'still alive', retryInMs: 60_000, targetOid: 7 };
      const [dead] = await first.recordDeaths([death(lease.id)]);
      await first.recordLate([late(lease.id, said)]);
      expect(await first.lease(lease.id)).toEqual(dead);
      expect(await kinds({ leaseId: lease.id })).not.toContain('lease.late');
      await first.recordLate([late(lease.id, { ...said, state: 'revoked' })]);
      expect(await first.lease(lease.id)).toMatchObject({ attempts: 1, lateReason: 'still alive' });
      expect(await kinds({ leaseId: lease.id })).toContain('lease.late');
    });

    test('another replica keeps its claim', async () => {
      const lease = await active(first);
      await second.endLease({ leaseId: lease.id, cause: 'operator', reason: null, by: 'olivia' });
      await first.recordLate([late(lease.id)]);
      expect((await first.lease(lease.id))?.claimOwner).toBe(SECOND);
    });

    test('residue is tried again, and gone when it is gone', async () => {
      const lease = await active(first);
      await first.endLease({ leaseId: lease.id, cause: 'operator', reason: null, by: 'olivia' });
      await first.recordDeaths([death(lease.id, { residue: 'owns a large object' })]);
      const [settled] = await first.recordSettled([lease.id], 'sync revoke');
      expect(settled).toMatchObject({ state: 'settled', residue: 'owns a large object' });
      await world.shiftClock(120);
      const claimed = await second.claimResidue(1_000);
      expect(claimed.find(({ id }) => id === lease.id)).toMatchObject({ claimOwner: SECOND });
      expect((await first.claimResidue(1_000)).map(({ id }) => id)).not.toContain(lease.id);
      await second.recordResidue(lease.id, 'owns a large object', 0);
      await second.recordResidue(lease.id, 'is granted to another role', 0);
      expect((await first.claimResidue(1_000)).map(({ id }) => id)).toContain(lease.id);
      await first.recordResidue(lease.id, null, 0);
      await first.recordResidue(lease.id, 'too late', 0);
      await world.shiftClock(0);
      const after = await first.lease(lease.id);
      expect(after).toMatchObject({ state: 'settled', residue: null, residueSince: null });
      expect(
        (await kinds({ leaseId: lease.id })).filter((kind) => kind === 'lease.residue'),
      ).toHaveLength(2);
    });

    test('a resurrected name is an event of its lease, which stays as it is', async () => {
      const { lease } = await open(first);
      const before = await first.recordMint({ ...minted(lease.id), outcome: 'refused' });
      await first.recordResurrected(lease.id, { oid: 1 });
      expect(await first.lease(lease.id)).toEqual(before);
      const events = await first.events({ leaseId: lease.id });
      expect(events.at(-1)).toMatchObject({
        kind: 'lease.resurrected',
        body: '{"detail":{"oid":1}}',
      });
    });
  });

  describe('by the clock', () => {
    test('deadlines, lost mints and what is fenced are claimed once, with their cause', async () => {
      const late = await active(first, { lease: deadlineIn(30) });
      const lost = await open(first, { lease: deadlineIn(3_000) });
      const fine = await active(first, { lease: deadlineIn(3_000) });
      await world.shiftClock(31);
      const claimed = new Map((await claimAll(second, 1_000)).map((lease) => [lease.id, lease]));
      await world.shiftClock(0);
      expect(claimed.get(late.id)).toMatchObject({ state: 'revoking', endCause: 'deadline' });
      expect(claimed.get(lost.lease.id)).toMatchObject({
        state: 'revoking',
        endCause: 'mint_lost',
      });
      expect(claimed.has(fine.id)).toBe(false);
      expect(claimed.get(late.id)?.claimOwner).toBe(SECOND);
      expect(await kinds({ leaseId: late.id })).toEqual([
        'lease.minting',
        'lease.activated',
        'lease.fenced',
      ]);
    });

    test('a claim lapses, and another replica takes over', async () => {
      const lease = await active(first);
      await first.endLease({ leaseId: lease.id, cause: 'operator', reason: null, by: 'olivia' });
      expect((await claimAll(second, 1_000)).map(({ id }) => id)).not.toContain(lease.id);
      await world.shiftClock(16);
      const taken = (await claimAll(second, 1_000)).find(({ id }) => id === lease.id);
      await world.shiftClock(0);
      expect(taken).toMatchObject({ state: 'revoking', claimOwner: SECOND });
    });

    test('claims that are given up are there for others at once; mints keep theirs', async () => {
      const lease = await active(first);
      const minting = await open(first);
      await first.endLease({ leaseId: lease.id, cause: 'operator', reason: null, by: 'olivia' });
      expect(await first.releaseClaims()).toBeGreaterThanOrEqual(1);
      expect((await claimAll(second, 1_000)).map(({ id }) => id)).toContain(lease.id);
      expect((await first.lease(minting.lease.id))?.claimOwner).toBe(FIRST);
    });

    test('who saw the death settles; after its claim lapsed, anybody', async () => {
      const lease = await active(first);
      await first.endLease({ leaseId: lease.id, cause: 'operator', reason: null, by: 'olivia' });
      await first.releaseClaims();
      const [dead] = await first.recordDeaths([death(lease.id)]);
      expect(dead?.claimOwner).toBe(FIRST);
      expect((await claimAll(second, 1_000)).map(({ id }) => id)).not.toContain(lease.id);
      await world.shiftClock(16);
      const taken = (await claimAll(second, 1_000)).find(({ id }) => id === lease.id);
      await world.shiftClock(0);
      expect(taken).toMatchObject({ state: 'revoked', claimOwner: SECOND });
    });

    test('the longest due come first, and no more than asked for', async () => {
      await world.shiftClock(4_000);
      await claimAll(first, 10_000);
      await world.shiftClock(0);
      const leases = [];
      for (const seconds of [300, 100, 200]) {
        leases.push(await active(first, { lease: deadlineIn(seconds) }));
      }
      await world.shiftClock(1_000);
      const claimed = await claimAll(first, 2);
      await world.shiftClock(0);
      expect(claimed.map(({ id }) => id)).toEqual([leases[1]?.id, leases[2]?.id]);
    });

    test('at each target its agents take turns, and none waits for another target', async () => {
      const [many, few] = [agent(), agent()];
      const there = at(`target-${ids.uuid()}`);
      const elsewhere = at(`target-${ids.uuid()}`);
      for (let n = 0; n < 8; n++) {
        await active(first, { agent: many, lease: { ...deadlineIn(5), ...there } });
      }
      const later = await active(first, { agent: few, lease: { ...deadlineIn(9), ...there } });
      const other = await active(first, { lease: { ...deadlineIn(9), ...elsewhere } });
      await world.shiftClock(10);
      const claimed = await first.claimDue('end', there.snapshot.target, 4);
      expect(claimed).toHaveLength(4);
      expect(claimed.map(({ id }) => id)).toContain(later.id);
      const left = await second.claimDue('end', there.snapshot.target, 100);
      expect(left.map(({ agentId }) => agentId)).toEqual(Array(5).fill(many.id));
      expect(await second.claimDue('end', there.snapshot.target, 100)).toEqual([]);
      const [alone] = await second.claimDue('end', elsewhere.snapshot.target, 1);
      expect(alone?.id).toBe(other.id);
      await world.shiftClock(0);
    });

    test('of what is due only what its guard ends is claimed, or only what needs none', async () => {
      const [mixed, other] = [agent(), agent()];
      const there = at(`target-${ids.uuid()}`);
      const { target } = there.snapshot;
      const unproven = { snapshot: { ...there.snapshot, proof: 'backend' as const } };
      const due = (of: typeof mixed, where: typeof there | typeof unproven) =>
        active(first, { agent: of, lease: { ...deadlineIn(5), ...where } });
      const byGuard = [await due(mixed, there), await due(mixed, there), await due(other, there)];
      const byBackend = [await due(mixed, unproven), await due(mixed, unproven)];
      await world.shiftClock(6);
      const idsOf = (leases: readonly { readonly id: string }[]) =>
        leases.map(({ id }) => id).sort();
      expect(idsOf(await first.claimDue('end', target, 100, 'backend'))).toEqual(idsOf(byBackend));
      expect(await first.claimDue('end', target, 100, 'backend')).toEqual([]);
      expect(await first.claimDue('end', target, 1, 'guard')).toHaveLength(1);
      expect(await first.claimDue('end', target, 100, 'guard')).toHaveLength(2);
      const shown = async () =>
        (await first.dueTargets(100)).find((one) => one.target === target)?.toProve;
      expect(await shown()).toBe(true);
      await first.recordDeaths(byGuard.map(({ id }) => death(id)));
      expect(await shown()).toBe(false);
      await world.shiftClock(0);
    });

    test('what waits at a target is counted until it is dead, and then is to be settled', async () => {
      const place = at(`target-${ids.uuid()}`);
      const { target } = place.snapshot;
      const shown = async (countUpTo = 100) =>
        (await first.dueTargets(countUpTo)).find((due) => due.target === target);
      const leases = [];
      for (let n = 0; n < 3; n++) {
        leases.push(await active(first, { agent: agent(), lease: { ...deadlineIn(5), ...place } }));
      }
      const fine = await active(first, { lease: { ...deadlineIn(300), ...place } });
      expect(await shown()).toBeUndefined();
      await world.shiftClock(6);
      expect(await shown()).toEqual({
        target,
        backlog: 3,
        toProve: true,
        toEnd: true,
        toSettle: false,
      });
      expect((await shown(2))?.backlog).toBe(2);
      await first.claimDue('end', target, 100);
      expect(await shown()).toEqual({
        target,
        backlog: 3,
        toProve: true,
        toEnd: false,
        toSettle: false,
      });
      const [one, two, three] = leases.map(({ id }) => id) as [string, string, string];
      await first.recordLate([late(one)]);
      expect(await shown()).toEqual({
        target,
        backlog: 3,
        toProve: true,
        toEnd: true,
        toSettle: false,
      });
      const kept = await first.recordDeaths([death(two)]);
      expect(await shown()).toMatchObject({ backlog: 2, toSettle: false });
      const left = await first.recordDeaths([death(three)], 'anyone');
      expect([kept[0]?.claimOwner, left[0]?.claimOwner]).toEqual([FIRST, null]);
      expect(await shown()).toMatchObject({ backlog: 1, toSettle: true });
      expect((await second.claimDue('end', target, 100)).map(({ id }) => id)).toEqual([one]);
      expect((await second.claimDue('settle', target, 100)).map(({ id }) => id)).toEqual([three]);
      await world.shiftClock(0);
      expect((await first.lease(fine.id))?.state).toBe('active');
    });

    test('tasks past their deadline end, with what would outlive them', async () => {
      const { task, lease } = await open(first, {
        task: deadlineIn(60),
        lease: { ...deadlineIn(90), mintDeadlineSeconds: 80 },
      });
      await world.shiftClock(61);
      const facts = await first.readForExchange(task.agentId, task.identifier);
      expect(facts.task?.endedAt).toBeNull();
      expect(await first.endTimedOutTasks(1_000)).toBeGreaterThanOrEqual(1);
      expect(await first.task(task.id)).toMatchObject({
        endCause: 'timeout',
        endedAt: task.deadline,
      });
      expect(await first.lease(lease.id)).toMatchObject({
        state: 'revoking',
        endCause: 'task_timeout',
      });
      expect((await claimAll(second, 1_000)).map(({ id }) => id)).toContain(lease.id);
      await world.shiftClock(0);
    });

    test('below a task that ended by its deadline nothing lives (I6)', async () => {
      const lease = await active(first, { task: deadlineIn(60), lease: deadlineIn(60) });
      await world.shiftClock(61);
      await first.endTimedOutTasks(1_000);
      await world.shiftClock(0);
      expect(await first.lease(lease.id)).toMatchObject({
        state: 'revoking',
        endCause: 'deadline',
      });
      const events = await first.events({ leaseId: lease.id });
      expect(events.at(-1)?.body).toBe('{"by":"mayfly","cause":"deadline"}');
    });

    test('a task past its deadline had ended by then, whoever completes it later', async () => {
      const lease = await active(first, { task: deadlineIn(60) });
      await world.shiftClock(61);
      const ended = await first.endTask({
        taskId: lease.taskId,
        cause: 'completed',
        outcome: 'succeeded',
        note: null,
        by: 'agent:x',
      });
      await world.shiftClock(0);
      expect(ended).toMatchObject({
        endedNow: false,
        task: { endCause: 'timeout', outcome: null },
      });
      expect(ended?.leases[0]?.state).toBe('revoking');
    });

    test('a task past its deadline is not joined, and its identifier can be opened anew', async () => {
      const one = agent();
      const stale = { identifier: 'stale', agent: one, task: deadlineIn(60) };
      const { task } = await open(first, stale);
      const { lease } = await open(first, stale);
      await world.shiftClock(61);
      const joined = await first.openLease(one, 'stale', (facts) => ({
        ok: true,
        value: { ...admission(facts), openTask: null },
      }));
      expect(joined).toMatchObject({ ok: false, failure: { reason: 'task_ended' } });
      const anew = await first.openLease(one, 'stale', (facts) => ({
        ok: true,
        value: { ...admission({ ...facts, task: null }, { task: { identifier: 'stale' } }) },
      }));
      await world.shiftClock(0);
      expect(value(anew).task.id).not.toBe(task.id);
      expect((await first.lease(lease.id))?.state).toBe('revoking');
      expect(await first.task(task.id)).toMatchObject({
        endCause: 'timeout',
        endedAt: task.deadline,
      });
    });
  });

  describe('reading', () => {
    test('lists run from the newest on, in pages, each item once', async () => {
      const one = agent();
      const opened = [];
      for (let n = 0; n < 7; n++) opened.push((await open(first, { agent: one })).lease.id);
      const seen: string[] = [];
      for (let cursor: string | null = null; ;) {
        const page = await first.leases({ agentId: one.id }, 3, cursor);
        seen.push(...page.items.map(({ id }) => id));
        if ((cursor = page.cursor) === null) break;
      }
      expect(seen).toEqual(opened.reverse());
      const tasks = await first.tasks({ agentId: one.id }, 100, null);
      expect(tasks.items).toHaveLength(7);
      expect(tasks.cursor).toBeNull();
    });

    test.each(['', 'x', 'AAAA', '../etc/passwd', 'AaIETesOd562RFlYNxOQTQ='])(
      'a cursor that we did not make is refused: %j',
      async (cursor) => {
        await expect(first.leases({}, 1, cursor)).rejects.toThrow(CursorInvalid);
        await expect(first.tasks({}, 1, cursor)).rejects.toThrow(CursorInvalid);
      },
    );

    test('filters', async () => {
      const one = agent();
      const identifier = ids.uuid();
      const record = async () => (await open(first, { agent: one, identifier })).lease;
      const minting = await record();
      const live = await first.recordMint(minted((await record()).id));
      const fenced = await record();
      await first.endLease({ leaseId: fenced.id, cause: 'operator', reason: null, by: 'olivia' });
      const dead = await record();
      await first.endLease({ leaseId: dead.id, cause: 'operator', reason: null, by: 'olivia' });
      await first.recordDeaths([death(dead.id, { residue: 'stuck' })]);
      const only = async (filter: Parameters<Ledger['leases']>[0]) =>
        (await first.leases({ agentId: one.id, ...filter }, 100, null)).items.map(({ id }) => id);
      expect(await only({ states: ['minting', 'active', 'revoking'] })).toEqual([
        fenced.id,
        live.id,
        minting.id,
      ]);
      expect(await only({ states: ['revoked'] })).toEqual([dead.id]);
      expect(await only({ states: [] })).toEqual([]);
      expect(await only({ late: true })).toEqual([fenced.id]);
      expect(await only({ unsettled: true })).toEqual([dead.id]);
      expect(await only({ residue: true })).toEqual([dead.id]);
      expect(await only({ scope: 'orders-write' })).toEqual([]);
      expect(await only({ scope: 'orders-read', owner: one.owner })).toHaveLength(4);
      expect(await only({ taskId: live.taskId })).toHaveLength(4);
      expect(await only({ taskId: 'nonsense' })).toEqual([]);
      expect(await only({ expiresBefore: live.createdAt })).toEqual([]);
      expect(await only({ expiresBefore: inSeconds(live.deadline, 1) })).toHaveLength(4);
      expect(await only({ credentialSha256: randomBytes(32) })).toEqual([]);
    });

    test('filters of tasks', async () => {
      const one = agent();
      const { task } = await open(first, { agent: one, task: { workflow: 'month-end' } });
      const other = await open(first, { agent: one });
      await first.endTask({
        taskId: other.task.id,
        cause: 'completed',
        outcome: null,
        note: null,
        by: 'x',
      });
      const only = async (filter: Parameters<Ledger['tasks']>[0]) =>
        (await first.tasks({ agentId: one.id, ...filter }, 100, null)).items.map(({ id }) => id);
      expect(await only({ open: true })).toEqual([task.id]);
      expect(await only({ open: false })).toEqual([other.task.id]);
      expect(await only({ workflow: 'month-end' })).toEqual([task.id]);
      expect(await only({ identifier: other.task.identifier })).toEqual([other.task.id]);
      expect(await only({ taskType: 'write-report' })).toEqual([]);
    });

    test('what is not there is null or empty', async () => {
      expect(await first.lease(ids.uuid())).toBeNull();
      expect(await first.lease('nonsense')).toBeNull();
      expect(await first.leaseByName('nobody')).toBeNull();
      expect(await first.leaseByCredential(randomBytes(32))).toBeNull();
      expect(await first.task('nonsense')).toBeNull();
      expect(await first.events({ taskId: 'nonsense' })).toEqual([]);
    });

    test('a denial is one event, however often it is written', async () => {
      const event = {
        id: ids.uuid(),
        kind: 'decision.denied',
        agentId: AGENT.id,
        taskId: ids.uuid(),
        leaseId: null,
        body: { reason: 'policy_denied', b: 1, a: [null, 'ü\u2028'] },
      };
      await first.recordDenial(event);
      await second.recordDenial(event);
      const events = await first.events({ taskId: event.taskId });
      expect(events).toHaveLength(1);
      expect(events[0]?.body).toBe('{"a":[null,"ü\u2028"],"b":1,"reason":"policy_denied"}');
    });

    test('installation and clock', async () => {
      expect(await first.installation()).toMatch(/^[0-9a-hjkmnp-tv-z]{4}$/);
      expect(await second.installation()).toBe(await first.installation());
      const before = await first.now();
      await world.shiftClock(100);
      expect((await first.now()).getTime() - before.getTime()).toBeGreaterThanOrEqual(100_000);
      await world.shiftClock(0);
    });
  });

  describe('reconciling', () => {
    test('the epoch rises from what it was, once, and says whose it is', async () => {
      const was = await first.epoch();
      expect(was.ledger).toMatch(/^[0-9a-f-]{36}$/);
      expect(was.cluster).not.toBe('');
      const next = was.epoch + 1;
      expect(await first.raiseEpoch(was.epoch, next, false)).toBe(true);
      expect(await second.raiseEpoch(was.epoch, next, false)).toBe(false);
      expect(await second.epoch()).toEqual({ ...was, epoch: next });
      expect(await second.raiseEpoch(next, next + 5, true)).toBe(true);
      const now = await first.epoch();
      expect(now.epoch).toBe(next + 5);
      expect(now.confirmedAt).toBeInstanceOf(Date);
    });

    const HOUR = 3600;

    test('one at a time, of all replicas', async () => {
      expect(await first.beginReconciliation('one', HOUR)).toBe('begun');
      expect(await second.beginReconciliation('two', HOUR)).toBe('running');
      expect(await second.beginReconciliation('two', null)).toBe('running');
      expect(await second.keepReconciliation('two')).toBe(false);
      expect(await first.keepReconciliation('one')).toBe(true);
      await second.endReconciliation('two', { of: 'one that never had the claim' });
      expect(await first.lastReconciliation()).toBeNull();
      await first.endReconciliation('one', { before: { b: 2, a: 1 } });
      const last = await first.lastReconciliation();
      expect(last?.result).toEqual({ before: { a: 1, b: 2 } });
      expect(last?.endedAt.getTime()).toBeGreaterThan((await first.now()).getTime() - 5000);
      expect(await first.keepReconciliation('one')).toBe(false);
      expect(await first.beginReconciliation('three', HOUR)).toBe('not_due');
      expect(await first.beginReconciliation('three', null)).toBe('begun');
      await first.endReconciliation('three', null);
      expect((await second.lastReconciliation())?.result).toEqual({ before: { a: 1, b: 2 } });
      // It never came to its end, so that another is due at once.
      expect(await second.beginReconciliation('four', HOUR)).toBe('begun');
      await second.endReconciliation('four', {});
      await world.shiftClock(60 + HOUR);
      expect(await first.beginReconciliation('five', HOUR)).toBe('begun');
      await first.endReconciliation('five', {});
      await world.shiftClock(0);
    });

    test('a claim that lapsed is kept until another pass, of any replica, has taken it over', async () => {
      // After all that others ended, which went by a clock that was ahead.
      await world.shiftClock(2 * HOUR);
      expect(await first.beginReconciliation('one', null)).toBe('begun');
      await world.shiftClock(2 * HOUR + 60);
      expect(await first.keepReconciliation('one')).toBe(true);
      expect(await second.beginReconciliation('two', null)).toBe('running');
      await world.shiftClock(2 * HOUR + 120);
      expect(await second.beginReconciliation('two', HOUR)).toBe('begun');
      expect(await first.keepReconciliation('one')).toBe(false);
      await world.shiftClock(2 * HOUR + 180);
      // The same replica again, for an operator perhaps.
      expect(await second.beginReconciliation('three', null)).toBe('begun');
      expect(await second.keepReconciliation('two')).toBe(false);
      const before = await first.lastReconciliation();
      await first.endReconciliation('one', { of: 'the one that lost its claim' });
      await second.endReconciliation('two', { of: 'the one that lost its claim' });
      expect(await first.lastReconciliation()).toEqual(before);
      expect(await second.keepReconciliation('three')).toBe(true);
      await second.endReconciliation('three', {});
      await world.shiftClock(0);
    });

    test('what is not closed is on some page, and what is closed on none', async () => {
      const one = agent();
      const minting = await open(first, { agent: one, identifier: 'r-1' });
      const living = await active(first, { agent: one, identifier: 'r-2' });
      const dead = await active(first, { agent: one, identifier: 'r-3' });
      const closed = await active(first, { agent: one, identifier: 'r-4' });
      for (const { id } of [dead, closed]) {
        await first.endLease({ leaseId: id, cause: 'operator', reason: null, by: 'x' });
        await first.recordDeaths([death(id)]);
      }
      await first.recordSettled([closed.id], 'note');
      const found = new Map<string, OpenLease>();
      let cursor: string | null = null;
      do {
        const page: Page<OpenLease> = await second.openLeases(2, cursor);
        expect(page.items.length).toBeLessThanOrEqual(2);
        for (const lease of page.items) found.set(lease.id, lease);
        ({ cursor } = page);
      } while (cursor !== null);
      expect(found.get(minting.lease.id)?.state).toBe('minting');
      expect(found.get(dead.id)?.state).toBe('revoked');
      expect(found.has(closed.id)).toBe(false);
      const { target, mount, role } = living.snapshot;
      const { id, state, credentialName, backendLeaseId, mintOutcome } = living;
      expect(found.get(id)).toEqual({
        ...{ id, state, credentialName, backendLeaseId, mintOutcome },
        ...{ createdAt: living.createdAt, activatedAt: living.activatedAt, target, mount, role },
      });
    });

    test('leases by name and by the id of the backend, in any state', async () => {
      const living = await active(first, { identifier: 'r-5' });
      const { lease: minting } = await open(first, { identifier: 'r-6' });
      const names = [living.credentialName, 'nobody', minting.credentialName];
      expect((await second.leasesByName(names)).map(({ id }) => id).sort()).toEqual(
        [living.id, minting.id].sort(),
      );
      expect(await second.leasesByName([])).toEqual([]);
      const ids = [living.backendLeaseId ?? '', 'mayfly-database/creds/orders-read/none'];
      const around = {
        from: inSeconds(living.createdAt, -5),
        until: inSeconds(living.createdAt, 5),
      };
      expect(await second.leasesByBackendId(ids, around)).toEqual([living]);
      const before = {
        from: inSeconds(living.createdAt, -9),
        until: inSeconds(living.createdAt, -5),
      };
      expect(await second.leasesByBackendId(ids, before)).toEqual([]);
    });

    test('events of what was found, however often they are written', async () => {
      const taskId = ids.uuid();
      const event = (name: string) => ({
        ...{ id: ids.uuid(), kind: 'orphan.found', agentId: null, taskId, leaseId: null },
        body: { name },
      });
      const both = [event('a'), event('b')];
      await first.recordEvents(both);
      await second.recordEvents(both);
      await first.recordEvents([]);
      const bodies = (await first.events({ taskId })).map(({ body }) => body).sort();
      expect(bodies).toEqual(['{"name":"a"}', '{"name":"b"}']);
    });
  });

  function deadlineIn(seconds: number) {
    return { deadline: new Date(Date.now() + seconds * 1000) };
  }

  stoppingContract(() => world);
}
