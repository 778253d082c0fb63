import { afterAll, beforeAll, expect, test } from '@jest/globals';
import * as oauth from 'oauth4webapi';
import * as openid from 'openid-client';
import type { BrokerProcess } from '../../src/commands/demo/world.ts';
import { EXCHANGE, canLogin, complete } from './support/agent.ts';
import type { PathWorld } from './support/path-world.ts';
import { startPathWorld } from './support/path-world.ts';

let path: PathWorld;
let broker: BrokerProcess;
let token: string;

beforeAll(async () => {
  path = await startPathWorld();
  broker = await path.broker();
  token = await path.token();
}, 60_000);

afterAll(async () => {
  await path?.stop();
}, 60_000);

function parameters(identifier: string): Record<string, string> {
  return {
    subject_token: token,
    subject_token_type: EXCHANGE.subject_token_type,
    requested_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    scope: 'orders-read',
    authorization_details: JSON.stringify([
      { type: 'agent_task', task_type: 'reconcile-invoice', identifier },
    ]),
  };
}

test('openid-client discovers the broker and exchanges a token, unmodified', async () => {
  const configuration = await openid.discovery(
    new URL(path.world.publicUrl),
    'any-client',
    undefined,
    openid.None(),
    { algorithm: 'oauth2', execute: [openid.allowInsecureRequests] },
  );
  const answer = await openid.genericGrantRequest(
    configuration,
    EXCHANGE.grant_type,
    parameters('openid-1'),
  );
  expect(answer.token_type).toBe('n_a');
  expect(await canLogin(answer.access_token)).toBe(true);
  await openid.tokenRevocation(configuration, answer.access_token).catch(() => undefined);
  expect((await complete(broker.url, token, answer['task_id'] as string)).status).toBe(200);
  expect(await canLogin(answer.access_token)).toBe(false);
});

test('openid-client sees a refusal as an OAuth error', async () => {
  const configuration = await openid.discovery(
    new URL(path.world.publicUrl),
    'any-client',
    undefined,
    openid.None(),
    { algorithm: 'oauth2', execute: [openid.allowInsecureRequests] },
  );
  const refusal = openid.genericGrantRequest(configuration, EXCHANGE.grant_type, {
    ...parameters('openid-2'),
    scope: 'payments',
  });
  await expect(refusal).rejects.toMatchObject({ error: 'invalid_scope', status: 400 });
});

test('oauth4webapi discovers the broker and exchanges a token, unmodified', async () => {
  const issuer = new URL(path.world.publicUrl);
  const insecure = { [oauth.allowInsecureRequests]: true };
  const server = await oauth.processDiscoveryResponse(
    issuer,
    await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure }),
  );
  const client: oauth.Client = { client_id: 'any-client' };
  const response = await oauth.genericTokenEndpointRequest(
    server,
    client,
    oauth.None(),
    EXCHANGE.grant_type,
    parameters('oauth4webapi-1'),
    insecure,
  );
  const answer = await oauth.processGenericTokenEndpointResponse(server, client, response, {
    recognizedTokenTypes: { n_a: () => undefined },
  });
  expect(await canLogin(answer.access_token)).toBe(true);
  expect((await complete(broker.url, token, answer['task_id'] as string)).status).toBe(200);
  expect(await canLogin(answer.access_token)).toBe(false);
});
