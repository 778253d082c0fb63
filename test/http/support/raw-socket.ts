import { connect } from 'node:net';
import type { Socket } from 'node:net';

/** A connection that says exactly what it is told, and keeps what it hears. */
export type RawSocket = {
  readonly socket: Socket;
  /** What has come so far. */
  readonly heard: () => string;
  /** Resolves when the other side has closed the connection. */
  readonly closed: Promise<void>;
};

export function dial(port: number, text: string): RawSocket {
  const socket = connect(port, '127.0.0.1');
  let heard = '';
  socket.setEncoding('latin1');
  socket.on('data', (chunk: string) => (heard += chunk));
  socket.on('error', () => undefined);
  socket.write(text);
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  return { socket, heard: () => heard, closed };
}

/** The head of an exchange whose body is yet to come. */
export function head(length: number | string, more = ''): string {
  return (
    'POST /exchange HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n' +
    `Content-Length: ${length}\r\n${more}\r\n`
  );
}
