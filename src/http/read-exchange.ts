import type { ExchangeRequest } from '../broker/broker.ts';
import { failure } from '../foundation/failure.ts';
import type { Failure } from '../foundation/failure.ts';
import { fail, succeed } from '../foundation/result.ts';
import type { Result } from '../foundation/result.ts';
import { SecretText } from '../foundation/secret-text.ts';
import { DATABASE_TOKEN_TYPE } from './exchange-json.ts';
import { duplicateOf, required, single } from './form.ts';
import type { Form } from './form.ts';
import { REQUEST_BOUNDS } from './server-bounds.ts';

export const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';

const TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:';

/** What a token is follows from its issuer, not from these words (RFC 8693 section 3). */
const INBOUND_TYPES = ['jwt', 'id_token', 'access_token'].map((name) => TOKEN_TYPE + name);

/** The first two are tolerated and change nothing: many clients always send one. */
const REQUESTED_TYPES = [`${TOKEN_TYPE}access_token`, `${TOKEN_TYPE}jwt`, DATABASE_TOKEN_TYPE];

/** RFC 8693 2.1: only these may come more than once. */
const REPEATABLE: ReadonlySet<string> = new Set(['resource', 'audience']);

const KEY_RULE = `must be 1 to ${REQUEST_BOUNDS.keyCharacters} visible ASCII characters, once`;
const KEY = new RegExp(`^[\\x21-\\x7e]{1,${REQUEST_BOUNDS.keyCharacters}}$`);

/** Reads a token exchange (RFC 8693 2.1) out of its form. Unknown parameters are ignored. */
export function readExchange(form: Form, key?: string): Result<ExchangeRequest, Failure> {
  const twice = duplicateOf(
    form,
    [...form.keys()].filter((name) => !REPEATABLE.has(name)),
  );
  if (twice) return fail(twice);
  const grantType = required(form, 'grant_type');
  if (!grantType.ok) return grantType;
  if (grantType.value !== TOKEN_EXCHANGE) {
    return fail(failure('unsupported_grant_type', `grant_type must be ${TOKEN_EXCHANGE}`));
  }
  const subjectToken = required(form, 'subject_token');
  if (!subjectToken.ok) return subjectToken;
  const wrong = wrongType(form);
  if (wrong) return fail(wrong);
  const ttl = ttlOf(single(form, 'ttl'));
  if (!ttl.ok) return ttl;
  const taskUrns = [...(form.get('resource') ?? []), ...(form.get('audience') ?? [])];
  if (taskUrns.length > REQUEST_BOUNDS.targets) {
    return invalid('resource', `at most ${REQUEST_BOUNDS.targets} of resource and audience`);
  }
  if (key !== undefined && !KEY.test(key)) return invalid('Idempotency-Key', KEY_RULE);
  const actorToken = single(form, 'actor_token');
  return succeed({
    subjectToken: new SecretText(subjectToken.value),
    actorToken: actorToken === null ? null : new SecretText(actorToken),
    scope: single(form, 'scope'),
    authorizationDetails: single(form, 'authorization_details'),
    taskUrns,
    ttlSeconds: ttl.value,
    idempotencyKey: key ?? null,
  });
}

function wrongType(form: Form): Failure | undefined {
  const subjectType = required(form, 'subject_token_type');
  if (!subjectType.ok) return subjectType.failure;
  if (!INBOUND_TYPES.includes(subjectType.value)) return oneOf('subject_token_type', INBOUND_TYPES);
  const requested = single(form, 'requested_token_type');
  if (requested !== null && !REQUESTED_TYPES.includes(requested)) {
    return oneOf('requested_token_type', REQUESTED_TYPES);
  }
  return wrongActorType(single(form, 'actor_token') !== null, single(form, 'actor_token_type'));
}

/** RFC 8693 2.1: the type comes with the token and not without it. */
function wrongActorType(hasActor: boolean, type: string | null): Failure | undefined {
  const field = 'actor_token_type';
  if (!hasActor && type === null) return undefined;
  if (!hasActor) return failure('parameter_invalid', 'only together with actor_token', { field });
  if (type === null) return failure('parameter_missing', 'required with actor_token', { field });
  return INBOUND_TYPES.includes(type) ? undefined : oneOf(field, INBOUND_TYPES);
}

function oneOf(field: string, allowed: readonly string[]): Failure {
  return failure('parameter_invalid', `must be one of ${allowed.join(', ')}`, { field });
}

function ttlOf(text: string | null): Result<number | null, Failure> {
  if (text === null) return succeed(null);
  const seconds = /^[1-9][0-9]{0,5}$/.test(text) ? Number(text) : 0;
  if (seconds >= 1 && seconds <= REQUEST_BOUNDS.ttlSeconds) return succeed(seconds);
  return invalid('ttl', `must be whole seconds, 1 to ${REQUEST_BOUNDS.ttlSeconds}`);
}

function invalid(field: string, detail: string): Result<never, Failure> {
  return fail(failure('parameter_invalid', detail, { field }));
}
