import type { Command } from 'commander';
import type { Composition } from '../compose.ts';
import { systemClock } from '../foundation/clock.ts';
import { faultOf } from '../foundation/fault.ts';
import { createLog } from '../foundation/log.ts';
import type { Log } from '../foundation/log.ts';
import { environment } from '../settings/environment.ts';
import { catalogueSettingsInPart, loadSettings } from '../settings/load-settings.ts';
import type { Settings } from '../settings/load-settings.ts';
import { CommandFailure, EXIT } from './exit-code.ts';
import { catalogueFailure, settingsFailure, UNKNOWN_PUBLIC_URL } from './settings-problems.ts';

const HELP = `
Settings come from the environment; each secret can be given as a file instead, by the same name
with _FILE behind it. docs/settings.md lists them all. Every missing or wrong one is reported.

Signals:
  SIGTERM, SIGINT  stop: new work is refused, what is under way is finished or handed over;
                   a second one ends at once
  SIGHUP           read the catalogue and the policies again; a bad set leaves the old one in force

Examples:
  $ node --env-file broker.env dist/main.js serve
  $ MAYFLY_PUBLIC_URL=https://mayfly.example MAYFLY_LEDGER_URL_FILE=/run/secrets/ledger-url ... mayfly serve

Exit status: 0 stopped as asked, 1 ended at once by a second signal or because the stop took longer
than 28 seconds, 2 settings or catalogue are wrong, 3 the ledger cannot be used.`;

export function registerServe(program: Command): void {
  program
    .command('serve')
    .description('run a broker; run as many as you like')
    .addHelpText('after', HELP)
    .action(serve);
}

async function serve(): Promise<void> {
  const loaded = loadSettings(environment());
  if (!loaded.ok) throw settingsFailure(loaded.failure, await brokenCatalogue());
  const { settings, secrets } = loaded.value;
  const log = createLog(settings.logLevel);
  endOnFault(log);
  const stopAsked = onStopSignals(log);
  const reloads = onReloadSignal();
  // Everything heavy is loaded after the settings were found to be right.
  const { composeBroker } = await import('../compose.ts');
  const composed = await composeBroker(settings, secrets, log);
  if (!composed.ok) {
    const problem = composed.failure;
    throw problem.kind === 'catalogue'
      ? catalogueFailure(settings.configFolder, problem.problems)
      : new CommandFailure(EXIT.unreachable, problem.sentence);
  }
  const broker = composed.value;
  await listen(broker, settings, log);
  reloads.serve(() => reload(broker, log));
  await stopAsked;
  log.info('stopping');
  if ((await withinMs(broker.stop(), STOP_BOUND_MS)) === 'late') {
    log.error('the stop took too long: ending at once; other replicas take over what is left');
    process.exit(EXIT.failed);
  }
  log.info('stopped');
}

/** Beside wrong settings: what is wrong with the catalogue, so that one start reports all of it. */
async function brokenCatalogue(): Promise<CommandFailure | undefined> {
  const known = catalogueSettingsInPart(environment());
  const { configFolder, publicUrl = UNKNOWN_PUBLIC_URL } = known;
  if (configFolder === undefined) return undefined;
  const { catalogueProblems } = await import('../compose-catalogue.ts');
  const problems = await catalogueProblems({ ...known, configFolder, publicUrl });
  return problems.length === 0 ? undefined : catalogueFailure(configFolder, problems);
}

/** Milliseconds; Kubernetes kills after 30 seconds unless told otherwise. */
const STOP_BOUND_MS = 28_000;

async function withinMs(work: Promise<void>, ms: number): Promise<'done' | 'late'> {
  const over = new AbortController();
  const late = systemClock.sleep(ms, over.signal).then(() => 'late' as const);
  try {
    return await Promise.race([work.then(() => 'done' as const), late]);
  } finally {
    over.abort();
  }
}

async function listen(broker: Composition, settings: Settings, log: Log): Promise<void> {
  const { host } = settings.listen;
  try {
    const { port } = await broker.start();
    log.info({ host, port, publicUrl: settings.publicUrl }, 'ready');
  } catch (thrown) {
    await broker.stop();
    const code = thrown instanceof Error && 'code' in thrown ? ` (${String(thrown.code)})` : '';
    throw new CommandFailure(
      EXIT.usage,
      `cannot listen on ${host}:${settings.listen.port}${code}. Set MAYFLY_LISTEN_HOST and MAYFLY_LISTEN_PORT.`,
    );
  }
}

/** Resolves at the first signal; the second one ends the process without waiting for anything. */
function onStopSignals(log: Log): Promise<void> {
  return new Promise((resolve) => {
    let asked = false;
    const stop = (signal: NodeJS.Signals) => {
      if (asked) {
        log.warn({ signal }, 'asked twice: ending at once');
        process.exit(EXIT.failed);
      }
      asked = true;
      resolve();
    };
    process.on('SIGTERM', stop);
    process.on('SIGINT', stop);
  });
}

/** A signal that comes before the broker can serve it is served as soon as it can. */
function onReloadSignal(): { serve(reload: () => void): void } {
  let reload: (() => void) | undefined;
  let asked = false;
  process.on('SIGHUP', () => {
    asked = reload === undefined;
    reload?.();
  });
  return {
    serve(serving) {
      reload = serving;
      if (asked) serving();
    },
  };
}

function reload(broker: Composition, log: Log): void {
  broker
    .reload()
    .then((reloaded) => {
      if (reloaded.ok) {
        log.info({ catalogue: reloaded.hash, changed: reloaded.changed }, 'reloaded');
        return;
      }
      const { problems } = reloaded;
      log.error({ problems }, 'reload refused: the catalogue in force stays');
    })
    .catch((thrown: unknown) => log.error({ fault: faultOf(thrown) }, 'reload failed'));
}

/** Node would print the error whole, and its message may quote anything. */
function endOnFault(log: Log): void {
  process.on('uncaughtException', (thrown) => {
    log.error({ fault: faultOf(thrown) }, 'unexpected error: ending');
    process.exit(EXIT.failed);
  });
}
