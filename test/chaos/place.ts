import { chmod, cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startWorld } from '../../dist/commands/demo/start-world.js';
import type { World } from '../../dist/commands/demo/world.js';

/** More than a mint may take here: the embedded OpenBao ends a request after 15 seconds. */
const GRACE = 'orphan_grace_seconds: 20\n';

/** Caps that a load of this kind would only run into. */
const ROOMY: Readonly<Record<string, (text: string) => string>> = {
  'limits.yaml': (text) =>
    `${text.replace(/requests_per_minute: \d+/, 'requests_per_minute: 1000000')}${GRACE}`,
  'agents/invoice-reconciler.yaml': roomyAgent,
  'agents/report-writer.yaml': roomyAgent,
};

/** Nothing here meets them, and each costs a start, of which there are thousands. */
const UNUSED = ['policies/high-risk-needs-a-person.cedar', 'policies/writing-is-short.cedar'];

function roomyAgent(text: string): string {
  return text
    .replace(/open_leases: \d+/, 'open_leases: 10000')
    .replace(/leases_per_minute: \d+/, 'leases_per_minute: 100000');
}

export type Place = {
  readonly world: World;
  /** The folder stays, logs and all, where something has to be looked into. */
  stop(keep: boolean): Promise<void>;
};

/** Ledger, target, OpenBao on raft and an identity provider, in a folder that goes at the end. */
export async function openPlace(): Promise<Place> {
  const folder = await mkdtemp(join(tmpdir(), 'mayfly-chaos-'));
  // Passable for the user that Postgres runs as when we are root.
  await chmod(folder, 0o711);
  const config = join(folder, 'config');
  await cp('config', config, { recursive: true });
  await Promise.all(UNUSED.map((file) => rm(join(config, file))));
  for (const [file, edit] of Object.entries(ROOMY)) {
    const path = join(config, file);
    await writeFile(path, edit(await readFile(path, 'utf8')));
  }
  const world = await startWorld({ folder: join(folder, 'world'), durable: false, config });
  return {
    world,
    stop: async (keep) => {
      await world.stop();
      if (keep) console.error(`kept: ${folder}`);
      else await rm(folder, { recursive: true, force: true });
    },
  };
}
