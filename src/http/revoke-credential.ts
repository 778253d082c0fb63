import type { IncomingMessage } from 'node:http';
import { failure } from '../foundation/failure.ts';
import type { Failure } from '../foundation/failure.ts';
import { fail, succeed } from '../foundation/result.ts';
import type { Result } from '../foundation/result.ts';
import { SecretText } from '../foundation/secret-text.ts';
import type { AgentCaller } from '../identity/principal.ts';
import { bearerOf } from './bearer.ts';
import type { Endpoint } from './endpoint.ts';
import { duplicateOf, readForm, required, single } from './form.ts';
import type { Form } from './form.ts';
import type { HttpParts } from './parts.ts';

/** draft-ietf-oauth-spiffe-client-auth: a JWT-SVID as it is, without an `iss` equal to `sub`. */
const SPIFFE_ASSERTION = 'urn:ietf:params:oauth:client-assertion-type:jwt-spiffe';

/**
 * `POST /revoke` (RFC 7009): ends the lease of a credential that the caller holds. Unknown, dead
 * and foreign ones are answered with 200 alike; nothing happens then. `token_type_hint` is ignored.
 */
export function revokeCredentialEndpoint({ broker, clock }: HttpParts): Endpoint {
  return async ({ request, notes }) => {
    const form = await readForm(request, clock);
    if (!form.ok) return form;
    const twice = duplicateOf(form.value, [...form.value.keys()]);
    if (twice) return fail(twice);
    const client = await clientOf(request, form.value, (token) =>
      broker.authenticator.agent(token),
    );
    if (!client.ok) return client;
    notes['agent'] = client.value.agent.id;
    const token = required(form.value, 'token');
    if (!token.ok) return token;
    const revoked = await broker.revokeCredential(client.value, new SecretText(token.value));
    return revoked.ok ? succeed({ status: 200, body: {} }) : revoked;
  };
}

/** By one of two methods; both at once is malformed (RFC 6749 2.3). Basic is ignored. */
async function clientOf(
  request: IncomingMessage,
  form: Form,
  ask: (token: SecretText) => Promise<Result<AgentCaller, Failure>>,
): Promise<Result<AgentCaller, Failure>> {
  const bearer = bearerOf(request);
  if (!bearer.ok) return bearer;
  const assertion = single(form, 'client_assertion');
  if (bearer.value !== null && assertion !== null) {
    return fail(
      failure('parameter_invalid', 'authenticate in one way: by it or by Authorization', {
        field: 'client_assertion',
      }),
    );
  }
  if (bearer.value !== null) return ask(bearer.value);
  if (assertion === null) {
    return fail(
      failure('unauthenticated', 'send a workload token as Bearer or as client_assertion'),
    );
  }
  if (single(form, 'client_assertion_type') !== SPIFFE_ASSERTION) {
    return fail(
      failure('parameter_invalid', `must be ${SPIFFE_ASSERTION}; send other tokens as Bearer`, {
        field: 'client_assertion_type',
      }),
    );
  }
  return ask(new SecretText(assertion));
}
