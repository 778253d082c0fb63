import { beforeAll, describe, expect, test } from '@jest/globals';
import type { Ledger } from '../../src/ledger/ledger.ts';
import { SELECTS_NOTHING } from '../../src/ledger/stop.ts';
import type { Selector } from '../../src/ledger/stop.ts';
import { active, admission, admitAll, death, ids, minted, open } from './support/examples.ts';

const BY = { by: 'olivia', reason: 'strange queries' };
const QUARANTINED = { ok: false, failure: { reason: 'agent_quarantined' } };

/** What every implementation of `Ledger` keeps of quarantine and of revocation by selector. */
export function stoppingContract(
  world: () => { readonly first: Ledger; readonly second: Ledger },
): void {
  let first: Ledger;
  let second: Ledger;
  beforeAll(() => {
    ({ first, second } = world());
  });

  const agent = () => ({ id: `agent-${ids.uuid()}`, owner: 'finance-platform team' });
  const only = (members: Partial<Selector>): Selector => ({ ...SELECTS_NOTHING, ...members });
  const fence = (selector: Selector, claim = false) =>
    first.fenceSelected({ selector, cause: 'revocation', claim, ...BY }, 100);

  describe('quarantine', () => {
    test('nothing can be opened from then on, whoever admits it (I7)', async () => {
      const one = agent();
      await active(first, { agent: one, identifier: 'before' });
      const stopped = await second.quarantineAgent({ agentId: one.id, ...BY });
      expect(stopped).toMatchObject({ changed: true, quarantine: BY });
      for (const identifier of ['before', 'new']) {
        const facts = await first.readForExchange(one.id, identifier);
        expect(facts.quarantined).toBe(true);
        expect(
          await first.openLease(one, identifier, admitAll({ task: { identifier } })),
        ).toMatchObject(QUARANTINED);
      }
      const other = agent();
      expect((await first.readForExchange(other.id, 'x')).quarantined).toBe(false);
      await open(first, { agent: other });
    });

    test('twice is once: the first one stays, and is recorded once', async () => {
      const one = agent();
      const stopped = await first.quarantineAgent({ agentId: one.id, ...BY });
      const again = await second.quarantineAgent({ agentId: one.id, by: 'oscar', reason: 'too' });
      expect(again).toEqual({ ...stopped, changed: false });
    });

    test('also of an agent that never came; its record says so', async () => {
      const one = agent();
      expect(await first.agent(one.id)).toBeNull();
      const { quarantine } = await first.quarantineAgent({ agentId: one.id, ...BY });
      expect(await second.agent(one.id)).toMatchObject({
        id: one.id,
        quarantine,
        live: { minting: 0, active: 0, revoking: 0 },
      });
      expect((await second.agents()).map(({ id }) => id)).toContain(one.id);
      expect(
        await first.openLease(one, 'first', admitAll({ task: { identifier: 'first' } })),
      ).toMatchObject(QUARANTINED);
    });

    test('a mint under way finds its lease fenced', async () => {
      const one = agent();
      const { lease } = await open(first, { agent: one });
      await second.quarantineAgent({ agentId: one.id, ...BY });
      const selector = only({ agentId: one.id });
      const [fenced] = await second.fenceSelected(
        { selector, cause: 'quarantine', claim: true, ...BY },
        10,
      );
      expect(fenced).toMatchObject({ id: lease.id, state: 'revoking', endCause: 'quarantine' });
      const after = await first.recordMint(minted(lease.id));
      expect(after).toMatchObject({ state: 'revoking', endCause: 'quarantine', activatedAt: null });
    });

    test('a task can still be completed', async () => {
      const one = agent();
      const lease = await active(first, { agent: one });
      await second.quarantineAgent({ agentId: one.id, ...BY });
      const done = { cause: 'completed', outcome: 'succeeded', note: null, by: 'x' } as const;
      const ended = await first.endTask({ taskId: lease.taskId, ...done });
      expect(ended?.leases[0]).toMatchObject({ state: 'revoking', endCause: 'completed' });
    });

    test('release lets new leases pass once; ended ones stay ended', async () => {
      const one = agent();
      const lease = await active(first, { agent: one, identifier: 'kept' });
      await first.quarantineAgent({ agentId: one.id, ...BY });
      const selector = only({ agentId: one.id });
      await first.fenceSelected({ selector, cause: 'quarantine', claim: true, ...BY }, 10);
      expect(await second.releaseAgent({ agentId: one.id, ...BY })).toBe(true);
      expect(await first.releaseAgent({ agentId: one.id, ...BY })).toBe(false);
      expect((await first.agent(one.id))?.quarantine).toBeNull();
      expect((await first.lease(lease.id))?.state).toBe('revoking');
      await open(second, { agent: one, identifier: 'kept' });
      const unknown = agent();
      expect(await first.releaseAgent({ agentId: unknown.id, ...BY })).toBe(false);
    });

    test('what was not fenced is found by others; what came after a release is not theirs', async () => {
      const one = agent();
      await active(first, { agent: one });
      await first.quarantineAgent({ agentId: one.id, ...BY });
      const found = await second.quarantinedNotFenced();
      expect(found.filter(({ id }) => id === one.id)).toMatchObject([
        { quarantine: BY, live: { active: 1 } },
      ]);
      await first.releaseAgent({ agentId: one.id, ...BY });
      const selector = only({ agentId: one.id });
      const rest = { selector, cause: 'quarantine', claim: false, ...BY } as const;
      expect(await second.fenceSelected(rest, 10)).toEqual([]);
      expect(await second.countSelected(selector, 'quarantine')).toEqual({ open: 0, dying: 0 });
      expect((await second.quarantinedNotFenced()).map(({ id }) => id)).not.toContain(one.id);
    });
  });

  describe('fencing what a selector selects', () => {
    test('each member alone, all given ones together, and nothing by none', async () => {
      const one = agent();
      const of = { agent: one, identifier: ids.uuid() };
      const lease = await active(first, {
        ...of,
        lease: { instance: 'pod-7', issuer: `issuer-${one.id}`, scope: `scope-${one.id}` },
        task: { taskType: `type-${one.id}`, workflow: `run-${one.id}` },
      });
      const all: Selector = {
        agentId: one.id,
        instance: 'pod-7',
        issuer: `issuer-${one.id}`,
        scope: `scope-${one.id}`,
        taskType: `type-${one.id}`,
        workflow: `run-${one.id}`,
      };
      for (const [member, wanted] of Object.entries(all)) {
        if (member !== 'instance') {
          const alone = only({ [member]: wanted });
          expect(await first.countSelected(alone, 'revocation')).toEqual({ open: 1, dying: 0 });
        }
        const other = { ...all, [member]: 'other' };
        expect(await first.countSelected(other, 'revocation')).toEqual({ open: 0, dying: 0 });
        expect(await fence(other)).toEqual([]);
      }
      expect(await fence(SELECTS_NOTHING)).toEqual([]);
      expect((await fence(all)).map(({ id }) => id)).toEqual([lease.id]);
      expect(await second.countSelected(all, 'revocation')).toEqual({ open: 0, dying: 1 });
      expect((await second.dyingSelected(all, 10)).map(({ id }) => id)).toEqual([lease.id]);
      expect(await second.dyingSelected({ ...all, instance: 'other' }, 10)).toEqual([]);
      expect(await fence(all)).toEqual([]);
      await first.recordDeaths([death(lease.id)]);
      expect(await second.countSelected(all, 'revocation')).toEqual({ open: 0, dying: 0 });
      expect(await second.dyingSelected(all, 10)).toEqual([]);
      const kinds = (await first.events({ leaseId: lease.id })).map(({ kind }) => kind);
      expect(kinds).toEqual(['lease.minting', 'lease.activated', 'lease.fenced', 'lease.revoked']);
    });

    test('oldest first, as many as asked for; claimed, or due at once for whoever comes', async () => {
      const one = agent();
      const leases = [];
      for (let n = 0; n < 4; n++) leases.push(await active(first, { agent: one }));
      const selector = only({ agentId: one.id });
      const some = { selector, cause: 'revocation', ...BY } as const;
      const own = await first.fenceSelected({ ...some, claim: true }, 2);
      expect(own.map(({ id }) => id)).toEqual(leases.slice(0, 2).map(({ id }) => id));
      expect(own[0]?.claimOwner).not.toBeNull();
      const rest = await first.fenceSelected({ ...some, claim: false }, 10);
      expect(rest).toMatchObject([{ claimOwner: null }, { claimOwner: null }]);
      const due = (await second.claimDue('end', 'orders', 1_000)).map(({ id }) => id);
      expect(due).toEqual(expect.arrayContaining(rest.map(({ id }) => id)));
      expect(due).not.toContain(own[0]?.id);
    });

    test('admissions know of nothing that is stopped', async () => {
      const one = agent();
      const seen = await first.openLease(one, 'x', (facts) => {
        expect(facts).toMatchObject({ quarantined: false, stops: [] });
        return { ok: true, value: admission(facts, { task: { identifier: 'x' } }) };
      });
      expect(seen.ok).toBe(true);
    });
  });

  describe('a revocation that is under way', () => {
    const stopOf = (selector: Selector) => ({ id: ids.uuid(), selector, ...BY });

    test('refuses what it selects until it is ended, and nothing else', async () => {
      const one = agent();
      const stop = stopOf(only({ agentId: one.id, scope: 'orders-read', taskType: 'x' }));
      expect(await second.beginStop(stop, 5)).toBe(true);
      expect((await first.readForExchange(one.id, 'a')).stops).toContainEqual(stop.selector);
      const ask = (scope: string, taskType: string) =>
        first.openLease(
          one,
          'a',
          admitAll({ lease: { scope }, task: { identifier: 'a', taskType } }),
        );
      expect(await ask('orders-read', 'x')).toMatchObject({
        ok: false,
        failure: { reason: 'revocation_under_way', retryAfterSeconds: 1 },
      });
      expect((await ask('orders-write', 'x')).ok).toBe(true);
      // The task that is open is what counts, not what an admission might say.
      expect((await ask('orders-read', 'other')).ok).toBe(false);
      await second.endStop(stop.id);
      await second.endStop(stop.id);
      expect((await ask('orders-read', 'x')).ok).toBe(true);
      expect((await first.readForExchange(one.id, 'a')).stops).toEqual([]);
    });

    test('a mint that comes back meanwhile is fenced, with its hash; others are activated', async () => {
      const one = agent();
      const flying = await open(first, { agent: one, task: { workflow: 'month-end' } });
      const other = await open(first, { agent: one });
      const stop = stopOf(only({ agentId: one.id, workflow: 'month-end' }));
      await second.beginStop(stop, 5);
      const record = minted(flying.lease.id);
      const after = await first.recordMint(record);
      expect(after).toMatchObject({
        state: 'revoking',
        endCause: 'revocation',
        endReason: BY.reason,
        mintOutcome: 'minted',
        backendLeaseId: record.backendLeaseId,
        activatedAt: null,
        claimOwner: null,
      });
      expect((await first.leaseByCredential(record.credentialSha256))?.id).toBe(flying.lease.id);
      expect((await first.recordMint(minted(other.lease.id))).state).toBe('active');
      await second.endStop(stop.id);
      expect(await first.recordMint(record)).toEqual(after);
      const kinds = (await first.events({ leaseId: flying.lease.id })).map(({ kind }) => kind);
      expect(kinds).toEqual(['lease.minting', 'lease.fenced']);
    });

    test('lives until it is ended, and only so many at a time', async () => {
      const stops = [1, 2].map(() => stopOf(only({ agentId: agent().id, issuer: 'gone' })));
      const before = (await first.stops(0)).length;
      for (const stop of stops) expect(await first.beginStop(stop, before + 2)).toBe(true);
      expect(await second.beginStop(stopOf(only({ scope: 'nothing' })), before + 2)).toBe(false);
      expect((await second.stops(0)).slice(before)).toEqual(stops);
      expect(await second.stops(60)).toEqual([]);
      for (const { id } of stops) await second.endStop(id);
      expect(await first.stops(0)).toHaveLength(before);
      expect(await first.exchangesUnderWay()).toEqual([]);
    });
  });

  describe('catalogues', () => {
    test('the newest in force is who first came last; an older one only when that is gone', async () => {
      const [one, other] = [ids.uuid(), ids.uuid()];
      expect((await first.noteCatalogue(one, 60)).newest).toBe(true);
      expect((await second.noteCatalogue(other, 60)).newest).toBe(true);
      expect((await first.noteCatalogue(one, 60)).newest).toBe(false);
      expect((await second.noteCatalogue(other, 60)).newest).toBe(true);
      // The newer one goes out of force: a rollback has come to its end.
      await second.noteCatalogue(other, 0);
      expect((await first.noteCatalogue(one, 60)).newest).toBe(true);
      expect((await second.noteCatalogue(other, 60)).newest).toBe(true);
      expect((await first.noteCatalogue(one, 60)).newest).toBe(false);
    });

    test('what is not declared is fenced, each with its reason; the rest is left alone', async () => {
      const names = [1, 2, 3, 4].map(() => agent());
      const task = { taskType: 'kept' };
      const lease = { scope: 'kept' };
      const of = (n: number, more: Parameters<typeof active>[1]) =>
        active(first, { agent: names[n]!, ...more });
      const gone = await of(0, { lease, task });
      const noScope = await of(1, { lease: { scope: 'gone' }, task });
      const noType = await of(2, { lease, task: { taskType: 'gone' } });
      const kept = await of(3, { lease, task });
      // Whatever other tests left alive is declared.
      const live = (await first.leases({ states: ['minting', 'active'] }, 1_000, null)).items;
      const tasks = await Promise.all(live.map(({ taskId }) => first.task(taskId)));
      const without = (values: readonly string[], value: string) =>
        [...new Set(values)].filter((one) => one !== value);
      const declared = {
        agents: without(
          live.map(({ agentId }) => agentId),
          gone.agentId,
        ),
        scopes: without(
          live.map(({ scope }) => scope),
          'gone',
        ),
        taskTypes: without(
          tasks.map((one) => one?.taskType ?? ''),
          'gone',
        ),
      };
      const [mine, newer] = [ids.uuid(), ids.uuid()];
      expect(await first.fenceUndeclared(mine, declared, 10)).toEqual([]);
      await first.noteCatalogue(mine, 60);
      // What a newer one declares is not for this one to judge, also where it came just now.
      await second.noteCatalogue(newer, 60);
      expect(await first.fenceUndeclared(mine, declared, 10)).toEqual([]);
      await second.noteCatalogue(newer, 0);
      const fenced = [
        ...(await first.fenceUndeclared(mine, declared, 2)),
        ...(await first.fenceUndeclared(mine, declared, 10)),
      ];
      expect(fenced.map(({ id, endCause, endReason }) => [id, endCause, endReason])).toEqual([
        [gone.id, 'catalogue', 'its agent has ended, or is not in the catalogue any more'],
        [noScope.id, 'catalogue', 'its scope is not in the catalogue any more'],
        [noType.id, 'catalogue', 'its task type is not in the catalogue any more'],
      ]);
      expect((await first.lease(kept.id))?.state).toBe('active');
      expect(fenced[0]).toMatchObject({ state: 'revoking', claimOwner: null });
      const kinds = (await first.events({ leaseId: gone.id })).map(({ kind }) => kind);
      expect(kinds.at(-1)).toBe('lease.fenced');
    });
  });

  test("a self-check is one turn at a time, of whoever comes; its outcome is everyone's", async () => {
    const name = ids.uuid();
    expect(await first.selfCheck(name)).toBeNull();
    expect(await first.takeSelfCheck(name, 0)).toBe(false);
    const turns = await Promise.all([
      first.takeSelfCheck(name, 0),
      second.takeSelfCheck(name, 3_600),
    ]);
    expect(turns).toEqual([true, false]);
    await first.recordSelfCheck(name, 'broken');
    expect(await second.selfCheck(name)).toMatchObject({ succeededAt: null, failure: 'broken' });
    await second.recordSelfCheck(name, null);
    const last = await first.selfCheck(name);
    expect(last?.succeededAt?.getTime()).toBeGreaterThanOrEqual(last?.failedAt?.getTime() ?? NaN);
  });
}
