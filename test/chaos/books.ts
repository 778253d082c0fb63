import type { LedgerRow, Oracle, Seen } from './oracle.ts';
import { sleep } from './random.ts';
import type { Stage } from './stage.ts';

/** What one of the three books knows and another does not. */
export type Difference = {
  /** Users at the target whose lease the ledger does not know, or calls over. */
  readonly usersUnknown: number;
  /** Leases in OpenBao that no open lease of the ledger names. */
  readonly leasesUnknown: number;
  /** Active leases of the ledger without a user at the target. */
  readonly withoutUser: number;
  /** Active leases of the ledger whose lease OpenBao does not have. */
  readonly withoutLease: number;
};

export type Comparison = {
  readonly atKill: number;
  readonly before: Difference;
  readonly after: Difference;
  /** Of what was planted for a reconciliation to find: still there before. */
  readonly planted: number;
  /** Rows that are on their way, by state, before. */
  readonly open: Readonly<Record<string, number>>;
  /** Open at the end, with the reason that the ledger gives, and without one. */
  readonly waiting: number;
  readonly stuck: number;
  /** Disabled roles that something planted holds; listed by the ledger. */
  readonly residue: number;
  /** Seconds from the last call until nothing was left. */
  readonly seconds: number;
};

const POLL_MS = 500;
const RECONCILE_EVERY_MS = 5_000;

/** Looks between two lines about them. */
const TELL_EVERY = 20;

/** Milliseconds that calls under way have before the first comparison. */
const SETTLE_MS = 2_000;

/**
 * Waits until nothing is left in any of the three books (or, `users`: at the target), `booksMs` at
 * most, and says what they
 * did not know of each other at first and at last. Nobody asks a broker for anything meanwhile.
 */
export async function compareBooks(
  stage: Stage,
  atKill: number,
  { booksMs, until }: { readonly booksMs: number; readonly until: 'books' | 'users' },
): Promise<Comparison> {
  const { oracle, record } = stage;
  const begun = Date.now();
  await sleep(SETTLE_MS);
  const first = await firstLook(oracle);
  let last = first;
  const [steady] = stage.replicas;
  const reconciled = steady && until === 'books' ? reconcileUntil(stage, steady.url) : undefined;
  for (let turn = 0; !isClean(last, until) && Date.now() - begun < booksMs; turn += 1) {
    if (turn % TELL_EVERY === 0) stage.say(`comparing: ${summary(last)}`);
    await sleep(POLL_MS);
    last = await readBooks(oracle).catch(() => last);
  }
  const seconds = (Date.now() - begun) / 1000;
  await reconciled?.stop();
  const { usersUnknown, leasesUnknown, withoutUser, withoutLease } = differenceOf(
    last,
    NOTHING_PLANTED,
  );
  const blame = (what: string, n: number, names: readonly string[]) => {
    if (n > 0) record.violate(what, `${n} after kill ${atKill}: ${names.slice(0, 5).join(', ')}`);
  };
  const unknown = usersUnknown > 0 ? await explained(stage, namesOf(last.roles)) : [];
  blame('users that the ledger does not know, or calls dead', usersUnknown, unknown);
  if (until === 'books') {
    blame('leases in OpenBao that nobody knows', leasesUnknown, last.backend);
  }
  blame('active leases without a user', withoutUser, namesOf(last.rows));
  blame('active leases that OpenBao does not have', withoutLease, namesOf(last.rows));
  const open = last.rows.filter(isOpen);
  const stuck = open.filter(({ lateReason }) => lateReason === null);
  if (until === 'books') {
    const names = stuck.map(({ id, state }) => `${id} ${state}`);
    blame('leases stuck without a reason', stuck.length, names);
  }
  return {
    atKill,
    before: differenceOf(first, stage.watch),
    planted: plantedIn(first, stage.watch),
    after: { usersUnknown, leasesUnknown, withoutUser, withoutLease },
    open: byState(first.rows),
    waiting: open.length - stuck.length,
    stuck: stuck.length,
    residue: last.rows.filter(({ residue }) => residue).length,
    seconds,
  };
}

type Books = {
  readonly roles: readonly Seen[];
  readonly rows: readonly LedgerRow[];
  readonly backend: readonly string[];
};

/** Reconciles by hand, again and again, as an operator would until nothing is left. */
function reconcileUntil({ lives }: Stage, at: string): { stop(): Promise<void> } {
  let stopped = false;
  const running = (async () => {
    while (!stopped) {
      await lives.reconcile(at);
      for (let wait = 0; wait < RECONCILE_EVERY_MS && !stopped; wait += POLL_MS)
        await sleep(POLL_MS);
    }
  })();
  return {
    stop: async () => {
      stopped = true;
      await running;
    },
  };
}

/** What the ledger says of these names, for whoever reads the report. */
async function explained(
  { oracle, watch }: Stage,
  names: readonly string[],
): Promise<readonly string[]> {
  const rows = await oracle.ledger<{ name: string; said: string }>(
    `select credential_name as name, concat_ws(' ', id, state, end_cause, mint_outcome,
       residue, late_reason, evidence::text, 'revoked', revoked_at, 'settled', settled_at) as said
     from mayfly.lease where credential_name = any ($1)`,
    [names],
  );
  return names.map((name) => {
    const said = rows.find((row) => row.name === name)?.said ?? 'never heard of';
    return `${name}${watch.planted.has(name) ? ' (planted)' : ''}: ${said}`;
  });
}

/** A server that was killed a moment ago may still be on its way back. */
async function firstLook(oracle: Oracle): Promise<Books> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await readBooks(oracle);
    } catch (error) {
      if (attempt === 20) throw error;
      await sleep(POLL_MS);
    }
  }
}

function summary({ roles, rows, backend }: Books): string {
  const states = JSON.stringify(byState(rows));
  return `${roles.length} users, ${backend.length} leases in OpenBao, ledger ${states}`;
}

/**
 * Target and OpenBao are read before the ledger and after it, and what was there both times counts: what
 * ended meanwhile is not unknown because its row is closed, nor what was opened because it is not there
 * yet. What was planted counts too: the guard must have ended it by now.
 */
async function readBooks(oracle: Oracle): Promise<Books> {
  const before = await Promise.all([oracle.target(), oracle.backendLeases()]);
  const rows = await oracle.openLeases();
  const [{ roles }, backend] = await Promise.all([oracle.target(), oracle.backendLeases()]);
  const names = new Set(before[0].roles.map(({ name }) => name));
  const ids = new Set(before[1]);
  return {
    roles: roles.filter(({ name }) => names.has(name)),
    rows,
    backend: backend.filter((id) => ids.has(id)),
  };
}

function isOpen({ state }: LedgerRow): boolean {
  return ['minting', 'active', 'revoking', 'revoked'].includes(state);
}

/** Residue may stay, since something of a stranger's depends on it; nothing else may. */
function isClean({ roles, rows, backend }: Books, until: 'books' | 'users'): boolean {
  if (until === 'users') return roles.length === 0;
  const residue = new Set(rows.filter((row) => row.residue).map(({ name }) => name));
  return (
    backend.length === 0 &&
    !rows.some(isOpen) &&
    roles.every(({ name, canLogin, sessions }) => residue.has(name) && !canLogin && sessions === 0)
  );
}

type Planted = Pick<Stage['watch'], 'planted' | 'plantedLeases' | 'bereft'>;

const NOTHING_PLANTED: Planted = {
  planted: new Set(),
  plantedLeases: new Set(),
  bereft: new Set(),
};

function plantedIn({ roles, backend, rows }: Books, planted: Planted): number {
  return (
    roles.filter(({ name }) => planted.planted.has(name)).length +
    backend.filter((id) => planted.plantedLeases.has(id)).length +
    rows.filter(({ name, state }) => state === 'active' && planted.bereft.has(name)).length
  );
}

/** What was planted is counted apart: no broker's death has made it. */
function differenceOf({ roles, rows, backend }: Books, planted: Planted): Difference {
  const known = new Set(rows.map(({ name }) => name));
  const ids = new Set(rows.map(({ backendLeaseId }) => backendLeaseId));
  const users = new Set(roles.map(({ name }) => name));
  const leases = new Set(backend);
  const active = rows.filter(({ state, name }) => state === 'active' && !planted.bereft.has(name));
  return {
    usersUnknown: roles.filter(({ name }) => !known.has(name) && !planted.planted.has(name)).length,
    leasesUnknown: backend.filter((id) => !ids.has(id) && !planted.plantedLeases.has(id)).length,
    withoutUser: active.filter(({ name }) => !users.has(name)).length,
    withoutLease: active.filter(({ backendLeaseId: id }) => id === null || !leases.has(id)).length,
  };
}

function byState(rows: readonly LedgerRow[]): Record<string, number> {
  const states: Record<string, number> = {};
  for (const { state } of rows) states[state] = (states[state] ?? 0) + 1;
  return states;
}

function namesOf(items: readonly { readonly name: string }[]): readonly string[] {
  return items.map(({ name }) => name);
}
