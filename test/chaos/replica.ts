import { open } from 'node:fs/promises';
import type { BrokerProcess, World } from '../../dist/commands/demo/world.js';
import { openLink } from './link.ts';
import type { Link } from './link.ts';

/** One place for a broker, on a port of its own, with its own wires to everything it needs. */
export type Replica = {
  readonly url: string;
  readonly links: readonly Link[];
  /** Starts a broker here, armed with these faults; none: an ordinary one. */
  start(faults: readonly string[]): Promise<void>;
  running(): boolean;
  /** Resolves when the process is gone. */
  exited(): Promise<void>;
  signal(signal: NodeJS.Signals): void;
  /** What the last start reached: its fail point and what was done there. */
  reached(): Promise<{ readonly point: string; readonly action: string } | undefined>;
  close(): Promise<void>;
};

const LOOPBACK = '127.0.0.1';

/** Bytes of a log that are looked at for the last fail point. */
const TAIL_BYTES = 4_096;

export async function openReplica(world: World, port: number, ledgerUrl: string): Promise<Replica> {
  const [ledger, backend, target] = await Promise.all([
    openLink(world.ledger.port),
    openLink(world.backend.port),
    openLink(world.target.port),
  ]);
  const throughLink = new URL(ledgerUrl);
  throughLink.port = String(ledger.port);
  const settings = {
    MAYFLY_LOG_LEVEL: 'warn',
    MAYFLY_LEDGER_POOL: '6',
    MAYFLY_LEDGER_URL: throughLink.href,
    MAYFLY_LEDGER_URL_FILE: '',
    MAYFLY_BACKEND_URL: `http://${LOOPBACK}:${backend.port}`,
    MAYFLY_ADDRESS_ORDERS_PORT: String(target.port),
  };
  let broker: BrokerProcess | undefined;
  let isRunning = false;
  return {
    url: `http://${LOOPBACK}:${port}`,
    links: [ledger, backend, target],
    async start(faults) {
      const armed =
        faults.length === 0
          ? {}
          : {
              MAYFLY_TEST_FAIL_POINTS: faults.join(','),
              MAYFLY_ALLOW_FAULTS: 'yes-this-is-a-test',
            };
      const started = await world.startBroker({
        port,
        settings: { ...settings, ...armed },
        until: 'listening',
      });
      broker = started;
      isRunning = true;
      void started.exited.then(() => {
        if (broker === started) isRunning = false;
      });
    },
    running: () => isRunning,
    exited: async () => {
      await broker?.exited;
    },
    signal: (signal) => broker?.kill(signal),
    reached: async () => {
      const line = (await tailOf(broker?.logFile))
        .split('\n')
        .findLast((text) => text.startsWith('{"failPoint"'));
      if (line === undefined) return undefined;
      const { failPoint, action } = JSON.parse(line) as { failPoint: string; action: string };
      return { point: failPoint, action };
    },
    close: async () => {
      await Promise.all([ledger, backend, target].map((link) => link.close()));
    },
  };
}

async function tailOf(path: string | undefined): Promise<string> {
  if (path === undefined) return '';
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const start = Math.max(0, size - TAIL_BYTES);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(TAIL_BYTES), 0, TAIL_BYTES, start);
    return buffer.subarray(0, bytesRead).toString('utf8');
  } finally {
    await file.close();
  }
}
