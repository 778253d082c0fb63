import { mkdir } from 'node:fs/promises';
import { relative, resolve } from 'node:path';
import type { Command } from 'commander';
import type { World } from './demo/world.ts';
import { CommandFailure, EXIT } from './exit-code.ts';
import { print } from './print.ts';

const HELP = `
FOR TRYING OUT ONLY: everything runs on 127.0.0.1, without TLS, with passwords in files of the
folder, and ends with this command. docs/deploy.md says how to run Mayfly for real.

It starts two Postgres servers, an OpenBao, an identity provider and a broker, all real, and tells
what happens in four parts; every line marked ok was looked at on the servers themselves. Then it
stays up and prints commands to paste. Ctrl-C ends it.

Examples:
  $ mayfly demo
  $ mayfly demo --once --folder /tmp/mayfly-demo

Exit status: 0 every claim held, 1 one did not, 3 the parts could not be started.`;

type Options = { readonly folder: string; readonly once?: true };

export function registerDemo(program: Command): void {
  program
    .command('demo')
    .description('see it work: FOR TRYING OUT ONLY')
    .option('--folder <folder>', 'keeps the servers’ data; delete it to begin anew', '.mayfly/demo')
    .option('--once', 'tell the story and end')
    .addHelpText('after', HELP)
    .action((options: Options) => demo(options));
}

async function demo(options: Options): Promise<void> {
  const interrupted = firstSignal();
  print('Mayfly demo. FOR TRYING OUT ONLY: all of it is on 127.0.0.1 and ends with this command.');
  const world = await startUnless(interrupted, options.folder);
  const hush = new AbortController();
  try {
    const story = tell(world, hush.signal).then(
      (failed) => (failed === 0 ? undefined : `${failed} claims did not hold`),
      (thrown: unknown) =>
        `the story broke off: ${messageOf(thrown)}. What earlier starts left is kept in ${options.folder}: name another folder with --folder, or delete this one.`,
    );
    const problem = await Promise.race([story, interrupted.then(() => 'it was interrupted')]);
    if (problem !== undefined) throw new CommandFailure(EXIT.failed, problem);
    if (options.once) return;
    await printCommands(world);
    await interrupted;
    print();
  } finally {
    hush.abort();
    print('Stopping everything.');
    await world.stop();
  }
}

async function start(folder: string): Promise<World> {
  await mkdir(resolve(folder), { recursive: true });
  try {
    const { startWorld } = await import('./demo/start-world.ts');
    return await startWorld({ folder: resolve(folder), progress: (line) => print(line) });
  } catch (thrown) {
    throw new CommandFailure(EXIT.unreachable, `the demo cannot start: ${messageOf(thrown)}`);
  }
}

/** Answers how many claims did not hold. */
async function tell(world: World, hushed: AbortSignal): Promise<number> {
  const { tellStory } = await import('./demo/tell-story.ts');
  return tellStory(world, hushed);
}

/** While the parts are being fetched and started there is nothing to wait for: they end with us. */
async function startUnless(interrupted: Promise<void>, folder: string): Promise<World> {
  let started = false;
  void interrupted.then(() => {
    if (started) return;
    print('Interrupted.');
    process.exit(EXIT.failed);
  });
  const world = await start(folder);
  started = true;
  return world;
}

async function printCommands(world: World): Promise<void> {
  const { commandsToPaste } = await import('./demo/try-it-yourself.ts');
  const program = relative(process.cwd(), process.argv[1] ?? 'dist/main.js');
  print();
  print('It stays up until Ctrl-C. Paste these into another terminal, in this folder:');
  print();
  for (const line of await commandsToPaste(world, `node ${program}`)) print(line);
  print();
}

/** Resolves at the first Ctrl-C or SIGTERM; a second one ends us at once, and the parts with us. */
function firstSignal(): Promise<void> {
  return new Promise((done) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => done());
  });
}

function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
