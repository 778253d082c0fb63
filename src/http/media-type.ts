import type { IncomingMessage } from 'node:http';

/**
 * True where the body is of this media type, plain. Parameters such as `charset` are not compared
 * (RFC 6749 appendix B; real clients send `charset=UTF-8`); a compressed body is not read.
 */
export function isPlain(request: IncomingMessage, mediaType: string): boolean {
  const encoding = request.headers['content-encoding'];
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') return false;
  const [essence = ''] = (request.headers['content-type'] ?? '').split(';');
  return essence.trim().toLowerCase() === mediaType;
}
