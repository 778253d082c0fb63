import { readFile } from 'node:fs/promises';
import { Command, CommanderError } from 'commander';
import { registerAgents } from './agents.ts';
import { registerBackend } from './backend.ts';
import { registerDemo } from './demo.ts';
import { registerDoctor } from './doctor.ts';
import { CommandFailure, EXIT } from './exit-code.ts';
import { registerCheck } from './check.ts';
import type { CheckIo } from './check.ts';
import { registerHash } from './hash.ts';
import { registerLedger } from './ledger.ts';
import { registerLeases } from './leases.ts';
import { registerMigrate } from './migrate.ts';
import { takeOneValueEach } from './one-value-options.ts';
import { print, tell } from './print.ts';
import { registerQuarantine, registerRelease } from './quarantine.ts';
import { registerQuery } from './query.ts';
import { registerRetry } from './retry.ts';
import { registerRevoke } from './revoke.ts';
import { registerReconcile } from './reconcile.ts';
import { registerServe } from './serve.ts';
import { environment, valueIn } from '../settings/environment.ts';
import { systemClock } from '../foundation/clock.ts';

/**
 * Runs `mayfly` with these arguments.
 *
 * @returns the exit status (docs/commands.md). Never rejects: what goes wrong becomes one sentence
 *   on standard error.
 */
export async function run(args: readonly string[]): Promise<number> {
  const program = await createProgram();
  try {
    await program.parseAsync(args, { from: 'user' });
    return Number(process.exitCode ?? EXIT.ok);
  } catch (thrown) {
    return report(thrown);
  }
}

async function createProgram(): Promise<Command> {
  const program = new Command('mayfly')
    .description('A just-in-time credential broker for AI agents.')
    .version(await version())
    .showHelpAfterError('Type `mayfly <command> --help` for what it takes.')
    .configureHelp({ sortSubcommands: false })
    .exitOverride();
  registerServe(program);
  registerMigrate(program);
  registerCheck(program, checkIo);
  registerLeases(program);
  registerRetry(program);
  registerAgents(program);
  registerQuarantine(program);
  registerRelease(program);
  registerRevoke(program);
  registerHash(program);
  registerReconcile(program);
  registerLedger(program);
  registerBackend(program);
  registerDoctor(program);
  registerQuery(program);
  registerDemo(program);
  takeOneValueEach(program);
  return program;
}

function checkIo(): CheckIo {
  const set = environment();
  const publicUrl = valueIn(set, 'MAYFLY_PUBLIC_URL');
  const configFolder = valueIn(set, 'MAYFLY_CONFIG_DIR');
  return {
    print,
    resolve: (name) => valueIn(set, `MAYFLY_ADDRESS_${name}`),
    now: systemClock.now(),
    ...(publicUrl === undefined ? {} : { publicUrl }),
    ...(configFolder === undefined ? {} : { configFolder }),
  };
}

async function version(): Promise<string> {
  const file = new URL('../../package.json', import.meta.url);
  const { version } = JSON.parse(await readFile(file, 'utf8')) as { version: string };
  return version;
}

function report(thrown: unknown): number {
  // Commander has printed its own sentence; help and version end here as well, with 0.
  if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? EXIT.ok : EXIT.usage;
  const { message, stack } = thrown instanceof Error ? thrown : new Error(String(thrown));
  tell(`mayfly: ${message}`);
  if (environment()['MAYFLY_LOG_LEVEL'] === 'debug' && stack !== undefined) tell(stack);
  return thrown instanceof CommandFailure ? thrown.exitCode : EXIT.failed;
}
