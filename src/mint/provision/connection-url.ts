/**
 * OpenBao's connection to a target. The time-outs bound how long a target that hangs can hold up
 * the one thing at a time that OpenBao does per database config, and how long a stopped OpenBao can
 * keep a half-made user.
 */
const TIMEOUTS = {
  /** Seconds. */
  connect_timeout: '5',
  /** Milliseconds, as the next two. */
  statement_timeout: '5000',
  lock_timeout: '2000',
  idle_in_transaction_session_timeout: '5000',
};

/**
 * OpenBao's sessions at the target carry this name. The other one marks a config whose root
 * password OpenBao has not replaced yet: the mark goes when the replacing is done, so a run that
 * broke off between the two is seen, and a finished one is never repeated.
 */
const SETTLED_NAME = 'mayfly-backend';
const UNROTATED_NAME = 'mayfly-backend-unrotated';

export type ConnectionPlace = {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly sslmode: 'disable' | 'verify-full';
  /** On OpenBao's machine. */
  readonly caFile?: string | undefined;
};

/** The `connection_url` of a config whose root password was replaced. */
export function connectionUrl(place: ConnectionPlace): string {
  const host = place.host.includes(':') ? `[${place.host}]` : place.host;
  const query = new URLSearchParams({
    sslmode: place.sslmode,
    ...(place.caFile === undefined ? {} : { sslrootcert: place.caFile }),
    ...TIMEOUTS,
    application_name: SETTLED_NAME,
  });
  const database = encodeURIComponent(place.database);
  return `postgresql://{{username}}:{{password}}@${host}:${place.port}/${database}?${query.toString()}`;
}

/** The same, marked: the root password is still the one that an administrator gave. */
export function unrotated(url: string): string {
  return url.replace(`application_name=${SETTLED_NAME}`, `application_name=${UNROTATED_NAME}`);
}

export function isUnrotated(url: unknown): boolean {
  return typeof url === 'string' && url.includes(`application_name=${UNROTATED_NAME}`);
}
