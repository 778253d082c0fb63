import type { IncomingMessage } from 'node:http';
import { within } from '../foundation/clock.ts';
import type { Clock } from '../foundation/clock.ts';
import { failure } from '../foundation/failure.ts';
import type { Failure } from '../foundation/failure.ts';
import { fail, succeed } from '../foundation/result.ts';
import type { Result } from '../foundation/result.ts';
import { REQUEST_BOUNDS } from './server-bounds.ts';

/**
 * Reads a whole body of at most `maxBytes`. Fails with `body_too_large`, or with `body_incomplete`
 * when it was cut or did not arrive within its deadline. A body somewhat above the bound is read
 * to its end and thrown away first: a caller that is still sending does not read our answer.
 */
export async function readBody(
  request: IncomingMessage,
  maxBytes: number,
  clock: Clock,
): Promise<Result<Buffer, Failure>> {
  // Cut while we were busy with its headers: none of the events below comes any more.
  if (request.destroyed) return fail(incomplete());
  const declared = Number(request.headers['content-length'] ?? 0);
  if (declared > maxBytes + REQUEST_BOUNDS.discardBytes) return fail(tooLarge(maxBytes));
  const read = await within(clock, REQUEST_BOUNDS.bodyMs, collect(request, maxBytes));
  return read ?? fail(incomplete());
}

function collect(request: IncomingMessage, maxBytes: number): Promise<Result<Buffer, Failure>> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size <= maxBytes) chunks.push(chunk);
      else chunks.length = 0;
      if (size > maxBytes + REQUEST_BOUNDS.discardBytes) resolve(fail(tooLarge(maxBytes)));
    });
    request.once('end', () =>
      resolve(size > maxBytes ? fail(tooLarge(maxBytes)) : succeed(Buffer.concat(chunks))),
    );
    request.once('error', () => resolve(fail(incomplete())));
  });
}

function tooLarge(maxBytes: number): Failure {
  return failure('body_too_large', `the body may have at most ${maxBytes} bytes`);
}

function incomplete(): Failure {
  return failure(
    'body_incomplete',
    `the body must arrive whole within ${REQUEST_BOUNDS.bodyMs / 1000} seconds`,
  );
}
