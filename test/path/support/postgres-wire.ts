import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

/**
 * What becomes of a statement: `lost` never reaches the server, `unanswered` is done there and its
 * answer is lost; both cost the connection. A promise holds the wire until it resolves.
 */
export type Passage = 'pass' | 'lost' | 'unanswered';

export type Matches = (sql: string, before: readonly string[], values: string) => boolean;

/** A wire to a Postgres without TLS that knows where each statement begins and ends. */
export type PostgresWire = {
  readonly port: number;
  /**
   * Decides over each statement; `before` are those of the same connection since its last `begin`,
   * `values` is the text in which its parameters stand.
   */
  decide: (sql: string, before: readonly string[], values: string) => Promise<Passage> | Passage;
  /** The next statement that matches has this fate; resolves when it had. */
  once(fate: Passage, matches: Matches): Promise<void>;
  /** Nobody is let in any more, and all connections are cut. */
  down(): void;
  up(): void;
  close(): Promise<void>;
};

/** @param route chooses the server by the user that logs in. */
export async function startPostgresWire(route: (user: string) => number): Promise<PostgresWire> {
  const sockets = new Set<Socket>();
  let open = true;
  const server = createServer((client) => {
    keep(sockets, client);
    if (open) follow(client, sockets, route, (...said) => wire.decide(...said));
    else client.destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const pass: PostgresWire['decide'] = () => 'pass';
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  const wire: PostgresWire = {
    port: (server.address() as AddressInfo).port,
    decide: pass,
    once: (fate, matches) =>
      new Promise((resolve) => {
        wire.decide = (sql, before, values) => {
          if (!matches(sql, before, values)) return 'pass';
          wire.decide = pass;
          resolve();
          return fate;
        };
      }),
    down: () => {
      open = false;
      cut();
    },
    up: () => {
      open = true;
    },
    close: () =>
      new Promise((resolve) => {
        cut();
        server.close(() => resolve());
      }),
  };
  return wire;
}

function keep(sockets: Set<Socket>, socket: Socket): void {
  sockets.add(socket);
  socket.on('error', () => undefined);
  socket.on('close', () => sockets.delete(socket));
}

type Decide = PostgresWire['decide'];

function follow(
  client: Socket,
  sockets: Set<Socket>,
  route: (user: string) => number,
  decide: Decide,
): void {
  const reader = messages();
  const names = new Map<string, string>();
  const before: string[] = [];
  let upstream: Socket | undefined;
  let unit: Buffer[] = [];
  let sql = '';
  // ReadyForQuery comes once after the login and once for each unit that was sent on.
  let readyAwaited = 1;
  let readySeen = 0;
  let cutAt = Infinity;
  const cut = () => {
    client.destroy();
    upstream?.destroy();
  };
  const fromServer = (piece: Buffer, answers: ReturnType<typeof messages>) => {
    for (const { type } of answers(piece)) if (type === 'Z') readySeen += 1;
    if (readySeen >= cutAt) cut();
    else if (cutAt === Infinity) client.write(piece);
  };
  const open = (startup: Buffer) => {
    const answers = messages(false);
    upstream = connect(route(userOf(startup)), '127.0.0.1');
    keep(sockets, upstream);
    upstream.write(startup);
    upstream.on('data', (piece: Buffer) => fromServer(piece, answers));
    upstream.on('close', cut);
  };
  const endOfUnit = async () => {
    const fate = await decide(sql, before, Buffer.concat(unit).toString('latin1'));
    if (fate === 'lost') return cut();
    if (sql === 'begin') before.length = 0;
    before.push(sql);
    upstream?.write(Buffer.concat(unit));
    unit = [];
    readyAwaited += 1;
    if (fate === 'unanswered') cutAt = readyAwaited;
  };
  let last: Promise<void> = Promise.resolve();
  client.on('data', (piece: Buffer) => {
    for (const message of reader(piece)) {
      last = last.then(async () => {
        if (message.type === '') return open(message.bytes);
        unit.push(message.bytes);
        sql = textOf(message, names) ?? sql;
        if (message.type === 'S' || message.type === 'Q') await endOfUnit();
        else if (message.type === 'p' || message.type === 'X') {
          upstream?.write(Buffer.concat(unit));
          unit = [];
        }
      });
    }
  });
  client.on('close', () => void last.then(cut));
}

type Message = { readonly type: string; readonly bytes: Buffer };

/** Cuts a stream into messages (PostgreSQL's protocol 3.0); the first of a client has no type. */
function messages(startup = true): (piece: Buffer) => Message[] {
  let rest = Buffer.alloc(0);
  let first = startup;
  return (piece) => {
    rest = Buffer.concat([rest, piece]);
    const found: Message[] = [];
    for (;;) {
      const skip = first ? 0 : 1;
      if (rest.length < skip + 4) return found;
      const length = skip + rest.readInt32BE(skip);
      if (rest.length < length) return found;
      const bytes = rest.subarray(0, length);
      found.push({ type: first ? '' : String.fromCharCode(bytes[0] ?? 0), bytes });
      rest = rest.subarray(length);
      first = false;
    }
  };
}

/** The statement that a message is about; undefined for messages about none. */
function textOf({ type, bytes }: Message, names: Map<string, string>): string | undefined {
  const words = bytes.subarray(5).toString('latin1').split('\0');
  if (type === 'Q') return words[0];
  if (type === 'P') {
    names.set(words[0] ?? '', words[1] ?? '');
    return words[1];
  }
  return type === 'B' ? names.get(words[1] ?? '') : undefined;
}

function userOf(startup: Buffer): string {
  const words = startup.subarray(8).toString('latin1').split('\0');
  return words[words.indexOf('user') + 1] ?? '';
}
