import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { BrokerProcess, World } from '../dist/commands/demo/world.js';
import { agentClient } from './agent-client.ts';
import { inLanes } from './measure.ts';
import { startProbe } from './probe.ts';
import type { Probed } from './probe.ts';
import { RAW_MOUNT, must } from './raw-backend.ts';
import type { RawBackend } from './raw-backend.ts';

/** What the storm works with. */
export type StormStage = {
  readonly world: World;
  readonly broker: BrokerProcess;
  readonly backend: RawBackend;
  readonly admin: string;
};

export type StormOptions = {
  readonly leases: number;
  /** Calls under way at a time: of the raw loop, and of what makes the leases. */
  readonly concurrency: number;
  /** The broker is killed before the deadline, and another one started behind it. */
  readonly outage: boolean;
};

export type StormFigures = {
  readonly leases: number;
  /** Seconds of the raw loop: as many OpenBao leases, naive statements, `sync` revokes. */
  readonly rawSeconds: number;
  /** Seconds from the deadline (after an outage: from the start) until the last role was gone. */
  readonly deadSeconds: number;
  /** And until the last row was `settled`. */
  readonly settledSeconds: number;
  readonly residentMegabytes: number;
  readonly idle: Probed;
  readonly storm: Probed;
};

/** Seconds from the last mint until the deadline: the idle figures are taken in them. */
const QUIET_SECONDS = 15;
/** Seconds until the figures of a storm that does not end are given up. */
const LONGEST_SECONDS = 300;
/** The longest life of the scope, in seconds. */
const LONGEST_LIFE = 600;
/** Who exchanges, for which type of task. */
const AGENTS = { 'invoice-reconciler': 'reconcile-invoice', 'report-writer': 'write-report' };
/** Seconds of idle exchanges before the deadline. */
const IDLE_SECONDS = 10;

/**
 * Ends many leases in the same second: all were granted by real exchanges, with one and the same
 * deadline, and nobody completes them. Beside it, a raw loop over as many leases in the same run.
 */
export async function storm(stage: StormStage, options: StormOptions): Promise<StormFigures> {
  const rawSeconds = await rawLoop(stage, options);
  const ledger = await connected(stage.world.admin.ledgerUrl.reveal());
  const target = await connected(stage.world.admin.targetUrl.reveal());
  try {
    const deadline = await grantAll(stage, ledger, options);
    const idle = await (
      await startProbe(stage.world, stage.broker.url)
    ).until(sleep(IDLE_SECONDS * 1000));
    const broker = await throughDeadline(stage, deadline, options.outage);
    const startedAt = options.outage ? Date.now() : deadline * 1000;
    const memory = watchMemory(broker.pid);
    const probe = await startProbe(stage.world, broker.url);
    const ended = watchEnd({ ledger, target }, stage.world.installation, deadline);
    const during = await probe.until(ended);
    const { deadAt, settledAt } = await ended;
    return {
      leases: options.leases,
      rawSeconds,
      deadSeconds: (deadAt - startedAt) / 1000,
      settledSeconds: (settledAt - startedAt) / 1000,
      residentMegabytes: memory.stop(),
      idle,
      storm: during,
    };
  } finally {
    await Promise.all([ledger.end(), target.end()]);
  }
}

/** Mints as many raw leases, then revokes them as a loop of somebody without Mayfly would. */
async function rawLoop(
  { backend, admin }: StormStage,
  { leases, concurrency }: StormOptions,
): Promise<number> {
  const made: string[] = [];
  await inLanes(leases, concurrency, async () => {
    const answer = await must(backend.call('GET', `${RAW_MOUNT}/creds/reader`, admin));
    made.push(answer.lease_id ?? '');
  });
  const started = performance.now();
  await inLanes(leases, concurrency, async () => {
    const lease = { lease_id: made.pop(), sync: true };
    await must(backend.call('POST', 'sys/leases/revoke', admin, lease));
  });
  return (performance.now() - started) / 1000;
}

/** One exchange a lease, each in its own task; answers the common deadline in Unix seconds. */
async function grantAll(
  { world, broker }: StormStage,
  ledger: pg.Client,
  { leases, concurrency }: StormOptions,
): Promise<number> {
  // Two agents, half each: neither may hold more than ten thousand.
  const agents = await Promise.all(
    Object.entries(AGENTS).map(async ([agent, taskType]) =>
      agentClient(broker.url, (await world.workloadToken(agent)).reveal(), taskType),
    ),
  );
  const exchange = async (nth: number, ttl?: number) => {
    await agents[nth % agents.length]?.exchange(`storm-${nth}`, ttl);
  };
  const warm = Math.min(100, leases);
  const started = performance.now();
  let nth = 0;
  const deadline = (await ledgerSeconds(ledger)) + LONGEST_LIFE - 5;
  await inLanes(warm, concurrency, () => exchange(nth++));
  const perLease = (performance.now() - started) / 1000 / warm;
  const soon = await ledgerSeconds(ledger);
  const planned = Math.ceil(soon + perLease * leases * 1.2 + QUIET_SECONDS);
  const common = Math.min(deadline, planned);
  const offset = soon - Date.now() / 1000;
  await inLanes(leases, concurrency, async () => {
    const ttl = common - Math.floor(Date.now() / 1000 + offset);
    await exchange(nth++, ttl);
  });
  for (const agent of agents) agent.close();
  return common;
}

async function ledgerSeconds(ledger: pg.Client): Promise<number> {
  const answer = await ledger.query<{ now: number }>(
    'select extract(epoch from clock_timestamp())::float8 as now',
  );
  return answer.rows[0]?.now ?? NaN;
}

/** The broker that meets the deadline: the same, or one that is started after it. */
async function throughDeadline(
  { world, broker }: StormStage,
  deadline: number,
  outage: boolean,
): Promise<BrokerProcess> {
  if (outage) {
    broker.kill('SIGKILL');
    await broker.exited;
  }
  const left = deadline * 1000 - Date.now();
  await sleep(Math.max(0, left + (outage ? 1000 : 0)));
  if (!outage) return broker;
  return world.startBroker({ settings: { MAYFLY_LOG_LEVEL: 'warn' }, until: 'listening' });
}

type Ended = { readonly deadAt: number; readonly settledAt: number };

/** Looks at target and ledger by plain SQL, some times a second. */
async function watchEnd(
  { ledger, target }: { readonly ledger: pg.Client; readonly target: pg.Client },
  installation: string,
  deadline: number,
): Promise<Ended> {
  const pattern = `m${installation}-%-${deadline.toString(16)}`;
  const giveUp = Date.now() + LONGEST_SECONDS * 1000;
  const gone = async () =>
    (await target.query('select 1 from pg_authid where rolname like $1 limit 1', [pattern]))
      .rowCount === 0;
  const settled = async () =>
    (
      await ledger.query(
        `select 1 from mayfly.lease where deadline = to_timestamp($1)
         and state in ('minting', 'active', 'revoking', 'revoked') limit 1`,
        [deadline],
      )
    ).rowCount === 0;
  const deadAt = await when(gone, 50, giveUp);
  const settledAt = await when(settled, 100, giveUp);
  return { deadAt, settledAt };
}

async function when(look: () => Promise<boolean>, everyMs: number, giveUp: number) {
  while (!(await look())) {
    if (Date.now() > giveUp) throw new Error('the storm did not end in time');
    await sleep(everyMs);
  }
  return Date.now();
}

function watchMemory(pid: number): { stop(): number } {
  let most = 0;
  const look = async () => {
    const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
    most = Math.max(most, Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024);
  };
  void look();
  const timer = setInterval(() => void look(), 250);
  return {
    stop() {
      clearInterval(timer);
      return most;
    },
  };
}

async function connected(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return client;
}
