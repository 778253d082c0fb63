import { afterEach, describe, expect, test } from '@jest/globals';
import * as oauth from 'oauth4webapi';
import * as openid from 'openid-client';
import { failure } from '../../src/foundation/failure.ts';
import { fail, succeed } from '../../src/foundation/result.ts';
import type { SecretText } from '../../src/foundation/secret-text.ts';
import { LEASE_ID, WORKLOAD_TOKEN, grant } from './support/examples.ts';
import { FORM, serving, stopAll } from './support/serving.ts';

afterEach(stopAll);

const { grant_type: GRANT, ...parameters } = FORM;
const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-spiffe';

const asked = {
  ...parameters,
  requested_token_type: 'urn:ietf:params:oauth:token-type:access_token',
  authorization_details: JSON.stringify([{ type: 'agent_task' }]),
};

function bySvid(_as: unknown, _client: unknown, body: URLSearchParams) {
  body.set('client_assertion_type', ASSERTION_TYPE);
  body.set('client_assertion', WORKLOAD_TOKEN);
}

describe('openid-client, unmodified', () => {
  test.each(['oauth2', 'oidc'] as const)('discovers by %s and exchanges', async (algorithm) => {
    const { url } = await serving();
    const config = await openid.discovery(new URL(url), 'agent-1', undefined, openid.None(), {
      algorithm,
      execute: [openid.allowInsecureRequests],
    });
    const answer = await openid.genericGrantRequest(config, GRANT, asked);
    expect(answer.access_token).toBe(grant.credential.uri.reveal());
    expect(answer.token_type).toBe('n_a');
    expect(answer['lease_id']).toBe(LEASE_ID);
    expect(answer.expires_in).toBe(300);
  });

  test('sees the reason of a refusal', async () => {
    const { url } = await serving({
      exchange: () => Promise.resolve(fail(failure('policy_denied', 'no policy permits this'))),
    });
    const config = await openid.discovery(new URL(url), 'agent-1', undefined, openid.None(), {
      algorithm: 'oauth2',
      execute: [openid.allowInsecureRequests],
    });
    await expect(openid.genericGrantRequest(config, GRANT, asked)).rejects.toMatchObject({
      error: 'access_denied',
      status: 400,
      error_description: 'no policy permits this',
      cause: { error_reason: 'policy_denied' },
    });
  });

  test('sees the reason of a body that is too large, whose status is not 400', async () => {
    const { url } = await serving();
    const config = await openid.discovery(new URL(url), 'agent-1', undefined, openid.None(), {
      algorithm: 'oauth2',
      execute: [openid.allowInsecureRequests],
    });
    const padding = 'x'.repeat(64 * 1024);
    await expect(
      openid.genericGrantRequest(config, GRANT, { ...asked, padding }),
    ).rejects.toMatchObject({ status: 413, cause: { error_reason: 'body_too_large' } });
  });

  test('tells only that the server failed when something behind us is out of reach', async () => {
    const { url } = await serving({
      exchange: () => Promise.resolve(fail(failure('ledger_unreachable', 'away'))),
    });
    const config = await openid.discovery(new URL(url), 'agent-1', undefined, openid.None(), {
      algorithm: 'oauth2',
      execute: [openid.allowInsecureRequests],
    });
    await expect(openid.genericGrantRequest(config, GRANT, asked)).rejects.toMatchObject({
      code: 'OAUTH_RESPONSE_IS_NOT_CONFORM',
    });
  });

  test('revokes, authenticated by an SVID', async () => {
    const revoked: SecretText[] = [];
    const { url } = await serving({
      revokeCredential: (_caller, credential) => {
        revoked.push(credential);
        return Promise.resolve(succeed(undefined));
      },
    });
    const config = await openid.discovery(new URL(url), 'agent-1', undefined, bySvid, {
      algorithm: 'oauth2',
      execute: [openid.allowInsecureRequests],
    });
    await openid.tokenRevocation(config, 'the credential', { token_type_hint: 'access_token' });
    expect(revoked.map((token) => token.reveal())).toEqual(['the credential']);
  });
});

describe('oauth4webapi, unmodified', () => {
  const insecure = { [oauth.allowInsecureRequests]: true } as const;

  test('discovers and exchanges', async () => {
    const { url } = await serving();
    const issuer = new URL(url);
    const found = await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure });
    const server = await oauth.processDiscoveryResponse(issuer, found);
    const client = { client_id: 'agent-1' };
    const response = await oauth.genericTokenEndpointRequest(
      server,
      client,
      oauth.None(),
      GRANT,
      asked,
      insecure,
    );
    const answer = await oauth.processGenericTokenEndpointResponse(server, client, response, {
      recognizedTokenTypes: { n_a: () => undefined },
    });
    expect(answer.access_token).toBe(grant.credential.uri.reveal());
    expect(answer['task_id']).toBe(grant.task.id);
  });
});
