import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startWorld } from '../dist/commands/demo/start-world.js';
import type { BrokerProcess, World } from '../dist/commands/demo/world.js';
import { encodeName } from '../dist/target/credential-name.js';
import { agentClient } from './agent-client.ts';
import type { AgentClient } from './agent-client.ts';
import { measure, timed } from './measure.ts';
import type { Contestant, Figures } from './measure.ts';
import { RAW_JWT_MOUNT, RAW_MOUNT, must, rawBackend, setUpRaw } from './raw-backend.ts';
import type { RawBackend } from './raw-backend.ts';
import { roomyConfig } from './roomy-config.ts';
import { readProcessorTime } from './processor-time.ts';
import { storm } from './storm.ts';
import type { StormFigures } from './storm.ts';
import { deathWatch } from './death-watch.ts';
import type { DeathWatch } from './death-watch.ts';

const HELP = `npm run bench -- [options]
  --operations N    of each kind at each concurrency (200)
  --warm-up N       unmeasured ones of each kind before (1000)
  --storm           ends many leases in the same second instead
  --leases N        ... so many (10000)
  --concurrency N   ... the raw loop, and what makes the leases (10)
  --outage          ... with no broker at their deadline, and one started after it
The figures are written to bench-results.json too.`;

const { values } = parseArgs({
  options: {
    operations: { type: 'string', default: '200' },
    // V8 has compiled what is hot after about a thousand.
    'warm-up': { type: 'string', default: '1000' },
    storm: { type: 'boolean', default: false },
    leases: { type: 'string', default: '10000' },
    concurrency: { type: 'string', default: '10' },
    outage: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

const CONCURRENCIES = [1, 10];
/** Who exchanges at concurrency 10, in turns, and for which type of task. */
const AGENTS = { 'invoice-reconciler': 'reconcile-invoice', 'report-writer': 'write-report' };

function wholeNumber(option: 'operations' | 'warm-up' | 'leases' | 'concurrency'): number {
  const value = Number(values[option]);
  if (Number.isInteger(value) && value > 0) return value;
  console.error(`--${option} must be a whole number above 0`);
  process.exit(2);
}

type Stage = {
  readonly world: World;
  readonly broker: BrokerProcess;
  readonly backend: RawBackend;
  readonly admin: string;
  readonly workloadToken: string;
  readonly agents: readonly AgentClient[];
  readonly watch: DeathWatch;
  /** Raw leases waiting for their revoke, and tasks for their completion. */
  readonly leases: string[];
  /** Leases of which nothing is measured any more. */
  readonly leftovers: string[];
  readonly tasks: Task[];
};

type Task = {
  readonly agent: AgentClient;
  readonly taskId: string;
  readonly username: string;
};

let counter = 0;

/** The same calls that an exchange makes at OpenBao, by hand, on Mayfly's own mount. */
async function batchAndMint(stage: Stage): Promise<void> {
  const name = encodeName({
    installation: stage.world.installation,
    leaseId: `01900000-0000-7000-8000-${(counter++).toString(16).padStart(12, '0')}`,
    deadline: new Date(Date.now() + 300_000),
  });
  const made = await must(
    stage.backend.call('POST', 'auth/token/create/mayfly-orders-read', stage.admin, {
      display_name: name,
      ttl: '330s',
    }),
  );
  const minted = await must(
    stage.backend.call('GET', 'mayfly-orders/creds/orders-read', made.auth?.client_token ?? ''),
  );
  if (minted.lease_id) stage.leftovers.push(minted.lease_id);
}

/** Nobody completes what was minted by hand; the more roles live, the slower all is for everybody. */
async function endLeftovers(stage: Stage): Promise<void> {
  for (const lease_id of stage.leftovers.splice(0)) {
    await must(
      stage.backend.call('POST', 'sys/leases/revoke', stage.admin, { lease_id, sync: true }),
    );
  }
}

/** @param agents that exchange, one after the other */
function mints(stage: Stage, agents: readonly AgentClient[]): readonly Contestant[] {
  const keep = (lease: string | undefined) => {
    if (lease) stage.leases.push(lease);
  };
  const raw = async (token: string) =>
    keep((await must(stage.backend.call('GET', `${RAW_MOUNT}/creds/reader`, token))).lease_id);
  return [
    { name: 'raw mint', once: () => oneFigure(() => raw(stage.admin)) },
    {
      name: 'by hand: JWT login, mint',
      once: () =>
        oneFigure(async () => {
          const login = await must(
            stage.backend.call('POST', `auth/${RAW_JWT_MOUNT}/login`, null, {
              role: 'agent',
              jwt: stage.workloadToken,
            }),
          );
          await raw(login.auth?.client_token ?? '');
        }),
    },
    {
      name: 'batch token, mint',
      once: () => oneFigure(() => batchAndMint(stage)),
      afterTurn: () => endLeftovers(stage),
    },
    {
      name: 'exchange',
      once: () =>
        oneFigure(async () => {
          const agent = agents[counter % agents.length] as AgentClient;
          stage.tasks.push({ agent, ...(await agent.exchange(`bench-${counter++}`)) });
        }),
    },
  ];
}

async function oneFigure(work: () => Promise<void>): Promise<{ readonly '': number }> {
  return { '': (await timed(work)).ms };
}

function ends(stage: Stage, watchDeaths: boolean): readonly Contestant[] {
  return [
    {
      name: 'raw sync revoke',
      once: () => {
        const lease = stage.leases.pop() ?? '';
        return oneFigure(async () => {
          await must(
            stage.backend.call('POST', 'sys/leases/revoke', stage.admin, {
              lease_id: lease,
              sync: true,
            }),
          );
        });
      },
    },
    {
      name: 'complete',
      once: async () => {
        const task = stage.tasks.pop();
        if (!task) throw new Error('no task is left to complete');
        const death = watchDeaths ? stage.watch.gone(task.username) : undefined;
        const startedAt = performance.timeOrigin + performance.now();
        const started = performance.now();
        await task.agent.complete(task.taskId);
        const answer = performance.now() - started;
        const dead = await death;
        return dead === undefined
          ? { 'to the answer': answer }
          : { 'to the answer': answer, 'to dead': dead - startedAt };
      },
    },
  ];
}

function printTable(title: string, figures: readonly Figures[], base: string): void {
  const reference = figures.find(({ name }) => name === base);
  console.log(`\n${title} (ratios to: ${base})`);
  console.log(
    `${''.padEnd(28)}${['p50 ms', 'p99 ms', 'a second', 'p50 ratio', 'rate ratio'].map((h) => h.padStart(12)).join('')}`,
  );
  for (const { name, p50, p99, rate } of figures) {
    const cells = [
      p50.toFixed(2),
      p99.toFixed(2),
      rate?.toFixed(0) ?? '',
      reference ? (p50 / reference.p50).toFixed(2) : '',
      reference && rate !== null ? (rate / (reference.rate ?? NaN)).toFixed(2) : '',
    ];
    console.log(`${name.padEnd(28)}${cells.map((cell) => cell.padStart(12)).join('')}`);
  }
  printProcessorTime(figures);
}

/** Who works how long for one operation: what bounds the rate where all share the cores. */
function printProcessorTime(figures: readonly Figures[]): void {
  const parts = [...new Set(figures.flatMap(({ processor }) => Object.keys(processor)))].sort();
  if (parts.length === 0) return;
  console.log('processor time of an operation, ms');
  const row = (name: string, cells: readonly string[]) =>
    console.log(`${name.padEnd(28)}${cells.map((cell) => cell.padStart(12)).join('')}`);
  row('', [...parts, 'in all']);
  for (const { name, processor, rate } of figures) {
    if (rate === null) continue;
    const all = Object.values(processor).reduce((sum, ms) => sum + ms, 0);
    row(
      name,
      [...parts.map((part) => processor[part] ?? 0), all].map((ms) => ms.toFixed(2)),
    );
  }
}

async function setStage(folder: string): Promise<Stage> {
  const world = await startWorld({
    folder: join(folder, 'world'),
    config: await roomyConfig(folder),
  });
  const broker = await world.startBroker({ settings: { MAYFLY_LOG_LEVEL: 'warn' } });
  const backend = rawBackend(world.backend.address);
  const admin = (await world.admin.backendToken()).reveal();
  const target = new URL(world.admin.targetUrl.reveal());
  const audience = world.publicUrl;
  await setUpRaw(backend, admin, {
    targetHost: target.hostname,
    targetPort: Number(target.port),
    database: 'orders',
    username: decodeURIComponent(target.username),
    password: decodeURIComponent(target.password),
    issuer: world.issuer,
    audience,
  });
  const tokens = await Promise.all(
    Object.keys(AGENTS).map(async (agent) => (await world.workloadToken(agent)).reveal()),
  );
  return {
    world,
    broker,
    backend,
    admin,
    workloadToken: tokens[0] ?? '',
    agents: Object.values(AGENTS).map((taskType, nth) =>
      agentClient(broker.url, tokens[nth] ?? '', taskType),
    ),
    watch: await deathWatch(world.admin.targetUrl.reveal()),
    leases: [],
    leftovers: [],
    tasks: [],
  };
}

async function residentMegabytes(pid: number): Promise<number> {
  const { readFile } = await import('node:fs/promises');
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? NaN) / 1024;
}

/**
 * Unmeasured: connections, prepared statements and compiled code are warm after it, for every
 * contestant alike, as in a server that has been up for some minutes.
 */
async function warmUp(stage: Stage): Promise<void> {
  const count = wholeNumber('warm-up');
  await measure(mints(stage, stage.agents), count, 4);
  await measure(ends(stage, false), count, 4);
}

async function sideBySide(): Promise<void> {
  const operations = wholeNumber('operations');
  const folder = await mkdtemp(join(tmpdir(), 'mayfly-bench-'));
  const stage = await setStage(folder);
  const results: Record<string, readonly Figures[]> = {};
  try {
    await warmUp(stage);
    for (const concurrency of CONCURRENCIES) {
      const used = (when: 'before' | 'after') => readProcessorTime(stage.world, stage.broker, when);
      const agents = concurrency === 1 ? stage.agents.slice(0, 1) : stage.agents;
      const minted = await measure(mints(stage, agents), operations, concurrency, used);
      // Latency is compared with what somebody does by hand, throughput with our calls without us.
      const base = concurrency === 1 ? 'by hand: JWT login, mint' : 'batch token, mint';
      printTable(`mint, concurrency ${concurrency}`, minted, base);
      results[`mint c=${concurrency}`] = minted;
      const ended = await measure(ends(stage, concurrency === 1), operations, concurrency, used);
      printTable(`end, concurrency ${concurrency}`, ended, 'raw sync revoke');
      results[`end c=${concurrency}`] = ended;
    }
    const rss = await residentMegabytes(stage.broker.pid);
    console.log(`\nbroker: ${rss.toFixed(0)} MB resident; machine: ${cpus().length} cores`);
    const report = {
      operations,
      cores: cpus().length,
      residentMegabytes: rss,
      results,
    };
    await writeFile('bench-results.json', `${JSON.stringify(report, null, 2)}\n`);
  } finally {
    await clear(stage, folder);
  }
}

async function clear(stage: Stage, folder: string): Promise<void> {
  stage.backend.close();
  for (const agent of stage.agents) agent.close();
  await stage.watch.close();
  await stage.world.stop();
  await rm(folder, { recursive: true, force: true });
}

async function stormy(): Promise<void> {
  const [leases, concurrency] = [wholeNumber('leases'), wholeNumber('concurrency')];
  const folder = await mkdtemp(join(tmpdir(), 'mayfly-bench-'));
  const stage = await setStage(folder);
  try {
    const figures = await storm(stage, {
      leases,
      concurrency,
      outage: values.outage,
    });
    printStorm(figures);
    await writeFile('bench-results.json', `${JSON.stringify(figures, null, 2)}\n`);
  } finally {
    await clear(stage, folder);
  }
}

function printStorm(figures: StormFigures): void {
  const { rawSeconds, deadSeconds, settledSeconds, idle, storm: during } = figures;
  const ratio = (seconds: number) => (seconds / rawSeconds).toFixed(2);
  console.log(`\n${figures.leases} leases ended at once (ratios to: raw loop of sync revokes)`);
  console.log(`raw loop             ${rawSeconds.toFixed(1)} s`);
  console.log(`last role gone       ${deadSeconds.toFixed(1)} s   ${ratio(deadSeconds)}`);
  console.log(`last row settled     ${settledSeconds.toFixed(1)} s   ${ratio(settledSeconds)}`);
  console.log(`broker, at most      ${figures.residentMegabytes.toFixed(0)} MB resident`);
  for (const [when, seen] of Object.entries({ idle, storm: during })) {
    console.log(
      `exchange, ${when.padEnd(5)}      p50 ${seen.p50.toFixed(1)} ms, p99 ${seen.p99.toFixed(1)} ms, ` +
        `granted ${seen.granted}, refused ${JSON.stringify(seen.refused)}, ` +
        `slowest refusal ${seen.slowestRefusal.toFixed(1)} ms`,
    );
    const slowest = seen.slowest.map(({ at, ms }) => `${ms.toFixed(0)} ms at ${at.toFixed(1)} s`);
    console.log(`                     slowest: ${slowest.join(', ')}`);
  }
}

if (values.help) console.log(HELP);
else await (values.storm ? stormy() : sideBySide());
