/** How far a call came that did not end in a 2xx answer. */
export type VaultErrorKind =
  /** No connection, or no free one in time: the request never left. */
  | 'unsent'
  /** The request left; its answer did not come, broke off, or took too long. */
  | 'no_reply'
  /** An answer that is not what OpenBao says: not JSON, too large, or members missing. */
  | 'rubbish'
  /** An answer with a status other than 2xx. */
  | 'status';

/** Characters of one error text of OpenBao that are kept; its longest useful ones are below 300. */
const ERROR_TEXT_MAX = 500;

/** Error texts of one answer that are kept. */
const ERROR_TEXTS_MAX = 5;

/** Tokens of OpenBao and Vault (service, batch, recovery), should a text ever quote one. */
const TOKEN_LIKE = /\b(?:hv[sbr]\.|[sbr]\.)[A-Za-z0-9_-]{16,}/g;

/** Credentials inside a connection address, should a text ever quote one. */
const PASSWORD_IN_ADDRESS = /:\/\/([^:/@\s]*):[^@\s]*@/g;

/**
 * A call to OpenBao that did not succeed. It holds no header, token, request or response body, so
 * that it can be logged as it is. `errors` are OpenBao's own texts, cut and with anything that
 * looks like a token or a password taken out; null when the answer had no `errors` array, that is,
 * when it may not be OpenBao's own word.
 */
export class VaultHttpError extends Error {
  override readonly name = 'VaultHttpError';
  readonly kind: VaultErrorKind;
  /** HTTP status; null when there was no answer. */
  readonly status: number | null;
  readonly errors: readonly string[] | null;
  /** Seconds of the Retry-After header, if it was a number. */
  readonly retryAfterSeconds: number | null;
  /** True when the other side closed the connection without an answer. */
  readonly wasReset: boolean;
  readonly method: string;
  readonly path: string;

  constructor(facts: {
    readonly kind: VaultErrorKind;
    readonly method: string;
    readonly path: string;
    readonly why: string;
    readonly status?: number | null;
    readonly errors?: readonly string[] | null;
    readonly retryAfterSeconds?: number | null;
    readonly wasReset?: boolean;
  }) {
    super(`${facts.method} ${facts.path}: ${facts.why}`);
    this.kind = facts.kind;
    this.status = facts.status ?? null;
    this.errors = facts.errors ?? null;
    this.retryAfterSeconds = facts.retryAfterSeconds ?? null;
    this.wasReset = facts.wasReset ?? false;
    this.method = facts.method;
    this.path = facts.path;
  }
}

/** OpenBao's error texts in a body, made safe to log; null without an `errors` array of texts. */
export function errorTexts(body: unknown): readonly string[] | null {
  if (typeof body !== 'object' || body === null || !('errors' in body)) return null;
  const { errors } = body;
  if (!Array.isArray(errors) || !errors.every((text) => typeof text === 'string')) return null;
  return errors.slice(0, ERROR_TEXTS_MAX).map(withoutSecrets);
}

function withoutSecrets(text: string): string {
  return text
    .replace(TOKEN_LIKE, '[redacted]')
    .replace(PASSWORD_IN_ADDRESS, '://$1:[redacted]@')
    .slice(0, ERROR_TEXT_MAX);
}
