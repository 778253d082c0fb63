import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

/** A wire between a broker and one server, on which things go wrong as on a network. */
export type Link = {
  readonly port: number;
  /** Ends every connection with a reset. */
  reset(): void;
  /** Holds every byte in both directions; what was held is lost when the link heals. */
  drop(): void;
  /** Delays every piece by so many milliseconds. */
  delay(ms: number): void;
  /** The next request goes through, and its connection ends before any answer. */
  cutNextAnswer(): void;
  heal(): void;
  close(): Promise<void>;
};

type Pair = { readonly client: Socket; readonly server: Socket; silent: boolean };

export async function openLink(port: number): Promise<Link> {
  const pairs = new Set<Pair>();
  const state = { dropping: false, delayMs: 0, cuts: 0 };
  const endAll = (which: (pair: Pair) => boolean) => {
    for (const pair of [...pairs].filter(which)) {
      pair.client.resetAndDestroy();
      pair.server.resetAndDestroy();
    }
  };
  const listener = createServer((client) => {
    const server = connect(port, '127.0.0.1');
    const pair: Pair = { client, server, silent: false };
    pairs.add(pair);
    pass(pair, client, server, () => {
      if (state.cuts === 0) return;
      state.cuts -= 1;
      pair.silent = true;
      // The request is on its way; its sender sees the connection end.
      setTimeout(() => endAll((one) => one === pair), 2);
    });
    pass(pair, server, client, () => undefined);
  });
  const pass = (pair: Pair, from: Socket, to: Socket, sent: () => void) => {
    from.setNoDelay(true);
    from.on('data', (piece: Buffer) => {
      if (state.dropping) {
        pair.silent = true;
        return;
      }
      if (pair.silent) return;
      const write = () => !to.destroyed && to.write(piece);
      if (state.delayMs > 0) setTimeout(write, state.delayMs);
      else write();
      sent();
    });
    from.on('error', () => undefined);
    from.on('close', () => {
      pairs.delete(pair);
      to.destroy();
    });
  };
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  return {
    port: (listener.address() as AddressInfo).port,
    reset: () => endAll(() => true),
    drop: () => {
      state.dropping = true;
    },
    delay: (ms) => {
      state.delayMs = ms;
    },
    cutNextAnswer: () => {
      state.cuts += 1;
    },
    heal: () => {
      Object.assign(state, { dropping: false, delayMs: 0, cuts: 0 });
      endAll((pair) => pair.silent);
    },
    close: async () => {
      endAll(() => true);
      await new Promise<void>((resolve) => listener.close(() => resolve()));
    },
  };
}
