import type { WorldServer } from './world.ts';

/** What the launchers of the embedded servers give us. */
export type Launched = {
  readonly pid: number;
  readonly port: number;
  kill(signal: NodeJS.Signals): void;
  stop(): Promise<void>;
  readonly exited: Promise<unknown>;
};

/**
 * Makes a server that can be started again on the port that it had, so that everything that knows
 * its address finds it again.
 *
 * @param launch starts it; the port is absent the first time unless a former run used one.
 */
export async function worldServer<Server extends Launched>(
  launch: (port: number | undefined) => Promise<Server>,
  logFile: string,
): Promise<WorldServer & { current(): Server }> {
  let server = await launch(undefined);
  const { port } = server;
  return {
    host: '127.0.0.1',
    port,
    logFile,
    current: () => server,
    pid: () => server.pid,
    kill: (signal) => server.kill(signal),
    stop: async () => {
      // A frozen process takes no orderly stop.
      server.kill('SIGCONT');
      await server.stop();
    },
    start: async () => {
      await server.exited;
      server = await launch(port);
    },
  };
}
