import type { ServerResponse } from 'node:http';

/** What an endpoint wants to be sent. */
export type Answer = {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
  readonly headers?: Readonly<Record<string, string>>;
  /** Media type; absent: `application/json`. */
  readonly type?: string;
  /** Runs when the caller was gone before the answer was written out. */
  readonly onLost?: () => Promise<void>;
};

/**
 * Writes the answer and waits until it has left this process. `lost`: the caller closed the
 * connection before. That the bytes left does not prove that anybody read them.
 */
export function deliver(response: ServerResponse, answer: Answer): Promise<'delivered' | 'lost'> {
  if (response.destroyed || response.writableEnded) return Promise.resolve('lost');
  const text = JSON.stringify(answer.body);
  response.statusCode = answer.status;
  for (const [name, value] of Object.entries(answer.headers ?? {})) response.setHeader(name, value);
  response.setHeader('Content-Type', answer.type ?? 'application/json');
  response.setHeader('Content-Length', Buffer.byteLength(text));
  return new Promise((resolve) => {
    response.once('finish', () => resolve('delivered'));
    response.once('close', () => resolve(response.writableFinished ? 'delivered' : 'lost'));
    response.end(text);
  });
}
