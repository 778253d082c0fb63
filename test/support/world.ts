import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startWorld } from '../../src/commands/demo/start-world.ts';
import type { World, WorldOptions } from '../../src/commands/demo/world.ts';

/** A world of its own in a temporary folder, which goes when it is stopped. For one test file. */
export async function temporaryWorld(options: Omit<WorldOptions, 'folder'> = {}): Promise<World> {
  const folder = await mkdtemp(join(tmpdir(), 'mayfly-world-'));
  // Passable for the user that Postgres runs as when we are root.
  await chmod(folder, 0o711);
  const world = await startWorld({ durable: false, ...options, folder: join(folder, 'world') });
  return {
    ...world,
    stop: async () => {
      await world.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** The settings with which an administrator's command finds the parts of a world. */
export function administratorSettings(world: World): Readonly<Record<string, string>> {
  const kept = Object.entries(world.settings).filter(([name]) =>
    /^MAYFLY_(CONFIG_DIR|ADDRESS_.*|BACKEND_URL)$/.test(name),
  );
  return Object.fromEntries(kept);
}

/** The options that name the administrators of a world, all by file. */
export function administratorOptions({
  admin: { files },
}: Pick<World, 'admin'>): readonly string[] {
  return [
    ...['--ledger-admin', files.ledgerUrl],
    ...['--openbao-userpass', `administrator=${files.backendPassword}`],
    ...['--secrets-dir', files.secretsDir],
  ];
}
