import { chmod, cp, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startWorld } from '../../../src/commands/demo/start-world.ts';
import type { BrokerOptions, BrokerProcess, World } from '../../../src/commands/demo/world.ts';
import { oracle } from './oracle.ts';
import type { Oracle } from './oracle.ts';

/** A world of its own for one test file: real servers, real broker processes, an own oracle. */
export type PathWorld = {
  readonly world: World;
  readonly oracle: Oracle;
  /** A workload token of the agent that most tests use. */
  token(agent?: string): Promise<string>;
  operator(group?: 'mayfly-viewers' | 'mayfly-operators' | 'mayfly-admins'): Promise<string>;
  broker(options?: BrokerOptions): Promise<BrokerProcess>;
  stop(): Promise<void>;
};

/** Edits of the shipped catalogue, by file below `config/`; a new file is edited from nothing. */
export type Edits = Readonly<Record<string, (text: string) => string>>;

/** The shipped caps would only get in the way of what most tests ask. */
const ROOMY: Edits = {
  'limits.yaml': (text) => text.replace(/requests_per_minute: \d+/, 'requests_per_minute: 1000000'),
  'agents/invoice-reconciler.yaml': (text) =>
    text
      .replace(/open_leases: \d+/, 'open_leases: 1000')
      .replace(/leases_per_minute: \d+/, 'leases_per_minute: 100000'),
};

export async function startPathWorld(edits: Edits = {}): Promise<PathWorld> {
  const folder = await mkdtemp(join(tmpdir(), 'mayfly-path-'));
  // Passable for the user that Postgres runs as when we are root.
  await chmod(folder, 0o711);
  const config = await editedConfig(join(folder, 'config'), { ...ROOMY, ...edits });
  const world = await startWorld({ folder: join(folder, 'world'), durable: false, config });
  const looking = oracle(
    world.admin.ledgerUrl.reveal(),
    world.admin.targetUrl.reveal(),
    world.installation,
  );
  return {
    world,
    oracle: looking,
    token: async (agent = 'invoice-reconciler') => (await world.workloadToken(agent)).reveal(),
    operator: async (group = 'mayfly-operators') => (await world.operatorToken(group)).reveal(),
    broker: (options) => world.startBroker(options),
    stop: async () => {
      await looking.close();
      await world.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function editedConfig(folder: string, edits: Edits): Promise<string> {
  await cp('config', folder, { recursive: true });
  for (const [file, edit] of Object.entries(edits)) {
    const path = join(folder, file);
    await writeFile(path, edit(await readFile(path, 'utf8').catch(() => '')));
  }
  return folder;
}

/** Everything that the processes of a world wrote to logs, as one text. */
export async function allLogs(world: World): Promise<string> {
  const names = await readdir(world.folder, { recursive: true });
  const logs = names.filter((name) => /\.(log|jsonl?)$/.test(name));
  const texts = await Promise.all(
    logs.map((name) => readFile(join(world.folder, name), 'utf8').catch(() => '')),
  );
  return texts.join('\n');
}
