export type SpiffeId = { readonly trustDomain: string; readonly path: string };

/** Bytes; SPIFFE-ID sections 2.1 and 2.3. */
const SPIFFE_ID_LENGTH_MAX = 2048;
const TRUST_DOMAIN_LENGTH_MAX = 255;

const SPIFFE_ID = /^spiffe:\/\/([a-z0-9._-]+)((?:\/[A-Za-z0-9._-]+)*)$/;

/**
 * Reads a SPIFFE ID. Lower-case scheme only; no port, user, query, fragment or percent-encoding; no
 * empty, `.` or `..` segment, so that one workload has one spelling. `path` is '' for the id of a
 * trust domain itself. Undefined when the text is not one.
 */
export function parseSpiffeId(text: string): SpiffeId | undefined {
  if (text.length > SPIFFE_ID_LENGTH_MAX) return undefined;
  const [, trustDomain, path] = SPIFFE_ID.exec(text) ?? [];
  if (trustDomain === undefined || path === undefined) return undefined;
  if (trustDomain.length > TRUST_DOMAIN_LENGTH_MAX) return undefined;
  if (path.split('/').some((segment) => segment === '.' || segment === '..')) return undefined;
  return { trustDomain, path };
}
