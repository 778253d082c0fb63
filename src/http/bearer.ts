import type { IncomingMessage } from 'node:http';
import { failure } from '../foundation/failure.ts';
import type { Failure } from '../foundation/failure.ts';
import { fail, succeed } from '../foundation/result.ts';
import type { Result } from '../foundation/result.ts';
import { SecretText } from '../foundation/secret-text.ts';
import type { Authenticator } from '../identity/authenticator.ts';
import type { AgentCaller, Caller, OperatorCaller } from '../identity/principal.ts';

/** RFC 6750 2.1: the scheme in any case, one space, b64token. */
const BEARER = /^bearer +([A-Za-z0-9._~+/-]+=*) *$/i;

/** The bearer token of the request; null where it has none of that scheme. */
export function bearerOf(request: IncomingMessage): Result<SecretText | null, Failure> {
  const fields = request.headersDistinct['authorization'] ?? [];
  if (fields.length > 1) {
    return fail(failure('unauthenticated', 'send one Authorization header, not several'));
  }
  const [field = ''] = fields;
  if (!/^bearer\b/i.test(field)) return succeed(null);
  const token = BEARER.exec(field)?.[1];
  if (token !== undefined) return succeed(new SecretText(token));
  return fail(
    failure('subject_token_malformed', 'Authorization must be: Bearer, a space, a token'),
  );
}

type Asks = Pick<Authenticator, 'agent' | 'operator'>;

/** Operators and agents alike. */
export function anyCaller(request: IncomingMessage, ask: Asks): Promise<Result<Caller, Failure>> {
  return identify<Caller>(request, operatorOf(ask), agentOf(ask));
}

/** Agents; an operator's token is refused as such, not as unknown. */
export async function agentCaller(
  request: IncomingMessage,
  ask: Asks,
): Promise<Result<AgentCaller, Failure>> {
  const caller = await identify<Caller>(request, agentOf(ask), operatorOf(ask));
  if (!caller.ok) return caller;
  if (caller.value.kind === 'agent') return succeed(caller.value);
  return fail(failure('permission_missing', 'this call is for agents, with a workload token'));
}

/** Operators; a workload token is refused as such, not as unknown. */
export async function operatorCaller(
  request: IncomingMessage,
  ask: Asks,
): Promise<Result<OperatorCaller, Failure>> {
  const caller = await identify<Caller>(request, operatorOf(ask), agentOf(ask));
  if (!caller.ok) return caller;
  if (caller.value.kind === 'operator') return succeed(caller.value);
  return fail(
    failure('permission_missing', "this call is for operators, with an operator's token"),
  );
}

const agentOf = (asks: Asks) => (token: SecretText) => asks.agent(token);
const operatorOf = (asks: Asks) => (token: SecretText) => asks.operator(token);

type Ask<Who> = (token: SecretText) => Promise<Result<Who, Failure>>;

async function identify<Who>(
  request: IncomingMessage,
  first: Ask<Who>,
  second: Ask<Who>,
): Promise<Result<Who, Failure>> {
  const token = bearerOf(request);
  if (!token.ok) return token;
  if (token.value === null) {
    return fail(failure('unauthenticated', 'send a token: Authorization: Bearer <token>'));
  }
  const one = await first(token.value);
  if (one.ok) return one;
  const other = await second(token.value);
  if (other.ok) return other;
  return telling(one.failure) >= telling(other.failure) ? one : other;
}

/** Both uses refuse a bad token; the use that knows its issuer and audience says why. */
function telling({ reason }: Failure): number {
  if (reason === 'unknown_issuer') return 0;
  return reason === 'subject_token_audience' ? 1 : 2;
}
