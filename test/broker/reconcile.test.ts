import { describe, expect, test } from '@jest/globals';
import type { BrokerParts } from '../../src/broker/parts.ts';
import { reconcileWhenDue } from '../../src/broker/reconcile.ts';
import { failure } from '../../src/foundation/failure.ts';
import { createLog } from '../../src/foundation/log.ts';
import { createMetrics } from '../../src/foundation/metrics.ts';
import { fail, succeed } from '../../src/foundation/result.ts';
import type { Lease } from '../../src/ledger/lease.ts';
import type { Ledger, OpenLease } from '../../src/ledger/ledger.ts';
import { directLedger } from '../simulation/models/ledger-access.ts';
import { ModelLedger } from '../simulation/models/ledger-model.ts';

/** As `compose.ts` has it. */
const CLAIM_SECONDS = 20;

/** A call that is slow takes so long: four at once outlast what a claim is kept for, not the claim. */
const SLOW_MS = 4_500;

const DAY_SECONDS = 24 * 3600;

const AWAY = failure('target_unreachable', 'the backend could not end it at the target');

type Call = 'list' | 'lookUp' | 'revoke' | 'confirm';

type World = {
  /** Ids that OpenBao lists, by mount and role; the ledger knows none of them. */
  readonly listed?: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** Leases that the ledger holds for active and OpenBao does not know. */
  readonly missing?: number;
  /** What happens in a call, before its answer. */
  readonly during?: (
    call: Call,
    id: string,
    world: { readonly pass: (ms: number) => void },
  ) => unknown;
  /** Places below which nothing can be revoked. */
  readonly away?: readonly string[];
};

/** The ledger is the simulation's model, time passes only when a call says so. */
function world({ listed = {}, missing = 0, during, away = [] }: World) {
  let ms = Date.UTC(2026, 10, 22);
  const pass = (more: number) => void (ms += more);
  const model = new ModelLedger(() => new Date(ms));
  const ledgerOf = (name: string) => directLedger(model, { name, claimSeconds: CLAIM_SECONDS });
  const lines: { readonly level: number; readonly msg: string }[] = [];
  const write = (line: string) => void lines.push(JSON.parse(line) as (typeof lines)[number]);
  const asked: { readonly call: Call; readonly id: string }[] = [];
  const at = async (call: Call, id: string) => {
    asked.push({ call, id });
    await during?.(call, id, { pass });
  };
  const metrics = createMetrics();
  const recorded: unknown[] = [];
  const lost: string[] = [];
  const leases = Array.from({ length: missing }, (_, n) => openLease(n));
  const ledger: Partial<Ledger> = {
    ...ledgerOf('ours'),
    openLeases: () => Promise.resolve({ items: leases, cursor: null }),
    lease: () => Promise.resolve({ state: 'active' } as never),
    recordEvents: (events) => Promise.resolve(void recorded.push(...events)),
    endLease: ({ leaseId }) => Promise.resolve((lost.push(leaseId), null)),
  };
  const targets = Object.keys(listed).map((mount) => [mount, { backend: { mount } }] as const);
  const limits = { reconcile_every_seconds: 300, orphan_grace_seconds: 150 };
  const parts = {
    catalogue: { current: () => ({ limits, targets: new Map(targets) }) },
    ledger,
    reaper: {
      roles: (mount: string) => Promise.resolve(succeed(Object.keys(listed[mount] ?? {}))),
      list: async (mount: string, role: string) => {
        await at('list', `${mount}/creds/${role}`);
        const ids = Array.from({ length: listed[mount]?.[role] ?? 0 }, (_, n) => n);
        return succeed(ids.map((n) => ({ id: `${mount}/creds/${role}/${1000 + n}` })));
      },
      lookUp: async (id: string) => {
        await at(id === '' || id.startsWith('gone') ? 'confirm' : 'lookUp', id);
        if (id.startsWith('gone')) return succeed(null);
        return succeed({ issuedAt: new Date(ms), ageSeconds: DAY_SECONDS, expired: false });
      },
      revoke: async (id: string) => {
        await at('revoke', id);
        return away.some((place) => id.startsWith(place)) ? fail(AWAY) : succeed('revoked');
      },
    },
    probe: { isActive: () => Promise.resolve(true) },
    targets: { names: () => [], access: () => undefined },
    clock: { now: () => new Date(ms), monotonicMs: () => ms },
    ids: { uuid: () => `id-${++uuids}`, fraction: () => 0 },
    log: createLog('info', { write }),
    metrics,
  } as unknown as BrokerParts;
  const of = (call: Call) => asked.filter((one) => one.call === call).map(({ id }) => id);
  return { parts, other: ledgerOf('other'), pass, lines, of, recorded, lost, metrics };
}

let uuids = 0;

function openLease(n: number): OpenLease {
  const long = new Date(Date.UTC(2026, 10, 20));
  return {
    ...{ id: `lost-${n}`, state: 'active', credentialName: `user-${n}`, mintOutcome: null },
    ...{ backendLeaseId: `gone/creds/read/${n}`, createdAt: long, activatedAt: long },
    ...{ target: 'a', mount: 'a', role: 'read' },
  };
}

const ROLES = Object.fromEntries(Array.from({ length: 12 }, (_, n) => [`role-${n}`, 0]));

describe('the claim of a reconciliation', () => {
  test.each<[Call, World]>([
    ['list', { listed: { a: ROLES } }],
    ['lookUp', { listed: { a: { read: 20 } } }],
    ['revoke', { listed: { a: { read: 20 } } }],
    ['confirm', { listed: { a: { read: 0 } }, missing: 10 }],
  ])('is kept between slow calls of one kind: %s', async (slow, what) => {
    const begun = new Set<string>();
    const { parts, other, of } = world({
      ...what,
      during: async (call, _id, { pass }) => {
        if (call !== slow) return;
        pass(SLOW_MS);
        begun.add(await other.beginReconciliation('theirs', 300));
      },
    });
    expect(await reconcileWhenDue(parts)).toMatchObject({ complete: true });
    expect(of(slow).length).toBeGreaterThanOrEqual(10);
    expect([...begun]).toEqual(['running']);
  });

  test('that lapsed in one slow call is still ours where nobody took over', async () => {
    const { parts } = world({
      listed: { a: { read: 20 } },
      during: (call, _id, { pass }) => call === 'revoke' && pass(60_000),
    });
    const done = await reconcileWhenDue(parts);
    expect(done?.before['backend_lease_unknown']).toBe(20);
    expect(done?.after['backend_lease_unknown']).toBe(0);
    expect(await parts.ledger.lastReconciliation()).not.toBeNull();
  });

  test('that was taken over stops the pass, with a line and a count', async () => {
    const { parts, other, of, lines, metrics } = world({
      listed: { a: { read: 20 } },
      during: async (call, _id, { pass }) => {
        if (call !== 'revoke') return;
        pass(60_000);
        await other.beginReconciliation('theirs', 300);
      },
    });
    expect(await reconcileWhenDue(parts)).toBeNull();
    expect(of('revoke').length).toBeLessThanOrEqual(4);
    const warned = lines.filter(({ level, msg }) => level === 40 && !msg.startsWith('found'));
    expect(warned.map(({ msg }) => msg)).toEqual([
      'another reconciliation has taken this one over: it stops',
    ]);
    const { body } = await metrics.render();
    expect(body).toContain('mayfly_reconciliations_total{outcome="lost"} 1');
    // Theirs goes on.
    expect(await other.keepReconciliation('theirs')).toBe(true);
  });
});

test('a lease that OpenBao forgot is counted where it is fenced, not where it was before', async () => {
  for (const fencedNow of [true, false]) {
    const { parts, metrics } = world({ listed: { a: { read: 0 } }, missing: 1 });
    const lease = { state: 'settled', endCause: 'backend_lost' } as Lease;
    const ledger = { ...parts.ledger, endLease: () => Promise.resolve({ lease, fencedNow }) };
    await reconcileWhenDue({ ...parts, ledger });
    const { body } = await metrics.render();
    const counted = body.includes('mayfly_lease_endings_total{cause="backend_lost"} 1');
    expect(counted).toBe(fencedNow);
  }
});

describe('a place where nothing can be revoked', () => {
  const dead = { listed: { a: { read: 600, write: 2 }, b: { read: 2 } }, away: ['a/creds/read/'] };

  test('holds up no other, nor the leases that OpenBao forgot', async () => {
    const { parts, of, recorded, lost } = world({ ...dead, missing: 3 });
    const done = await reconcileWhenDue(parts);
    const tried = of('revoke');
    // Three in a row, and those that were under way beside them.
    expect(tried.filter((id) => id.startsWith('a/creds/read/')).length).toBeLessThanOrEqual(6);
    const others = tried.filter((id) => !id.startsWith('a/creds/read/'));
    expect(others.sort()).toEqual([
      ...['a/creds/write/1000', 'a/creds/write/1001'],
      ...['b/creds/read/1000', 'b/creds/read/1001'],
    ]);
    expect(lost).toEqual(['lost-0', 'lost-1', 'lost-2']);
    // What is not tried has no event of an act.
    expect(recorded).toHaveLength(tried.length);
    expect(done?.problems).toEqual([
      {
        place: 'mount a/creds/read',
        detail: expect.stringContaining('3 revocations failed in a row'),
      },
    ]);
    expect(done?.before['backend_lease_unknown']).toBe(604);
    expect(done?.after['backend_lease_unknown']).toBe(600);
    const outcomes = new Set(done?.findings.map(({ outcome }) => outcome));
    expect([...outcomes].sort()).toEqual(['failed', 'withheld']);
  });

  test('is begun elsewhere the next time, so that the same few do not stand before all', async () => {
    const { parts, of } = world({ listed: { a: { read: 100 } }, away: ['a/creds/read/100'] });
    await reconcileWhenDue({ ...parts, ids: { ...parts.ids, fraction: () => 0.5 } });
    const others = of('revoke').filter((id) => !id.startsWith('a/creds/read/100'));
    expect(others).toEqual(Array.from({ length: 50 }, (_, n) => `a/creds/read/${1050 + n}`));
  });

  test('is tried on where only some fail', async () => {
    const { parts, of } = world({
      listed: { a: { read: 40 } },
      away: ['a/creds/read/1000', 'a/creds/read/1010', 'a/creds/read/1020'],
    });
    const done = await reconcileWhenDue(parts);
    expect(of('revoke')).toHaveLength(40);
    expect(done?.after['backend_lease_unknown']).toBe(3);
    expect(done?.complete).toBe(true);
  });
});
