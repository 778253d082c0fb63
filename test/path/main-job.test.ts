import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import * as oauth from 'oauth4webapi';
import * as openid from 'openid-client';
import type { BrokerProcess } from '../../src/commands/demo/world.ts';
import {
  EXCHANGE,
  canLogin,
  complete,
  exchange,
  get,
  granted,
  login,
  post,
  until,
} from './support/agent.ts';
import type { PathWorld } from './support/path-world.ts';
import { startPathWorld } from './support/path-world.ts';

let path: PathWorld;
let broker: BrokerProcess;
let token: string;
let operator: string;

beforeAll(async () => {
  path = await startPathWorld();
  broker = await path.broker();
  token = await path.token();
  operator = await path.operator();
}, 60_000);

afterAll(async () => {
  await path?.stop();
}, 60_000);

type LeaseBody = {
  readonly state: string;
  readonly revocability: string;
  readonly evidence: { readonly kind: string; readonly oid: number | null } | null;
  readonly residue: string | null;
};

async function leaseOf(id: string): Promise<LeaseBody> {
  const answer = await get(broker.url, `/v1/leases/${id}`, operator);
  expect(answer.status).toBe(200);
  return (answer.body['lease'] ?? answer.body) as unknown as LeaseBody;
}

describe('one task, one credential', () => {
  test('is minted, used, completed, dead and proven', async () => {
    const answer = await exchange(broker.url, token, { identifier: 'main-1', ttl: 60 });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect(answer.body).toMatchObject({
      issued_token_type: 'urn:mayfly:token-type:database',
      token_type: 'N_A',
      scope: 'orders-read',
      revocability: 'proven',
    });
    expect(answer.body['expires_in']).toBeGreaterThan(55);
    expect(answer.body['expires_in']).toBeLessThanOrEqual(60);
    const uri = String(answer.body['access_token']);
    const session = await login(uri);
    const rows = await session.query('select count(*)::int as n from orders');
    expect((rows.rows[0] as { n: number }).n).toBeGreaterThan(100);
    await expect(session.query('delete from orders')).rejects.toMatchObject({ code: '42501' });
    const leaseId = String(answer.body['lease_id']);
    expect((await leaseOf(leaseId)).state).toBe('active');

    const done = await complete(broker.url, token, String(answer.body['task_id']));
    expect(done.status).toBe(200);
    await expect(session.query('select 1')).rejects.toThrow();
    expect(await canLogin(uri)).toBe(false);
    const { username } = answer.body['credential'] as { username: string };
    expect(await path.oracle.roleExists(username)).toBe(false);
    expect(await path.oracle.sessions()).toBe(0);
    await until('settled', 5, async () => (await leaseOf(leaseId)).state === 'settled');
    const lease = await leaseOf(leaseId);
    expect(lease.revocability).toBe('proven');
    expect(lease.evidence).toMatchObject({ kind: 'seen_dead' });
    expect(lease.evidence?.oid).toBeGreaterThan(0);
    expect(lease.residue).toBeNull();
  });

  test('completing twice is fine, and somebody else’s is not found', async () => {
    const grant = await granted(broker.url, token, { identifier: 'main-2' });
    const stranger = await path.token('report-writer');
    expect((await complete(broker.url, stranger, grant.taskId)).status).toBe(404);
    expect(await canLogin(grant.uri)).toBe(true);
    expect((await complete(broker.url, token, grant.taskId)).status).toBe(200);
    expect((await complete(broker.url, token, grant.taskId)).status).toBe(200);
    expect(await canLogin(grant.uri)).toBe(false);
  });

  test('an agent that vanished is cut off by the sweep within the published bound', async () => {
    const grant = await granted(broker.url, token, { identifier: 'main-3', ttl: 4 });
    const session = await login(grant.uri);
    const ended = new Promise<number>((resolve) => session.on('end', () => resolve(Date.now())));
    const endedAt = await ended;
    const deadline = parseInt(grant.username.slice(-8), 16) * 1000;
    expect(endedAt - deadline).toBeLessThan(3000);
    expect(await canLogin(grant.uri)).toBe(false);
    await until('settled', 5, async () => (await leaseOf(grant.leaseId)).state === 'settled');
  }, 20_000);

  test('is revoked by its holder (RFC 7009), and unknown tokens change nothing', async () => {
    const grant = await granted(broker.url, token, { identifier: 'main-4' });
    const revoke = (credential: string, bearer: string) =>
      fetch(`${broker.url}/revoke`, {
        method: 'POST',
        headers: { authorization: `Bearer ${bearer}` },
        body: new URLSearchParams({ token: credential }),
      });
    const stranger = await path.token('report-writer');
    expect((await revoke(grant.uri, stranger)).status).toBe(200);
    expect((await revoke('never-issued', token)).status).toBe(200);
    expect(await canLogin(grant.uri)).toBe(true);
    expect((await revoke(grant.uri, token)).status).toBe(200);
    await until('cut off', 3, async () => !(await canLogin(grant.uri)));
  });

  test('is revoked by an operator, and not by a viewer', async () => {
    const grant = await granted(broker.url, token, { identifier: 'main-5' });
    const where = `/v1/leases/${grant.leaseId}/revoke`;
    const viewer = await path.operator('mayfly-viewers');
    expect((await post(broker.url, where, viewer, { reason: 'leaked' })).status).toBe(403);
    expect((await post(broker.url, where, operator, { reason: 'leaked' })).status).toBe(200);
    expect(await canLogin(grant.uri)).toBe(false);
  });

  test('a task’s second scope joins the task and dies with it', async () => {
    const read = await granted(broker.url, token, { identifier: 'main-6' });
    const write = await granted(broker.url, token, {
      identifier: 'main-6',
      scope: 'orders-write',
      ttl: 60,
    });
    expect(write.taskId).toBe(read.taskId);
    await complete(broker.url, token, read.taskId);
    expect(await canLogin(read.uri)).toBe(false);
    expect(await canLogin(write.uri)).toBe(false);
    const again = await exchange(broker.url, token, { identifier: 'main-6' });
    expect(again.body['error_reason']).toBe('task_ended');
  });
});

describe('what is refused leaves nothing behind', () => {
  test.each([
    ['an unknown scope', { scope: 'payments' }, 'scope_unknown'],
    ['an unknown task type', { taskType: 'delete-everything' }, 'task_type_unknown'],
    ['a task type of another agent', { taskType: 'write-report' }, 'task_type_unknown'],
    [
      'a scope wider than the task',
      { scope: 'orders-write', details: { actions: ['read'] } },
      'scope_wider_than_task',
    ],
    ['a task wider than its type', { details: { actions: ['drop'] } }, 'wider_than_task_type'],
    ['an unknown member', { details: { admin: true } }, 'details_unknown_member'],
    ['a life that the policy forbids', { scope: 'orders-write', ttl: 600 }, 'policy_denied'],
  ])('%s', async (what, wanted, reason) => {
    const before = await path.oracle.ledger('select count(*)::int as n from mayfly.lease');
    const answer = await exchange(broker.url, token, {
      identifier: `refused-${what.replace(/[^a-z]/g, '-')}`,
      ...wanted,
    });
    expect(answer.status).toBe(400);
    expect(answer.body['error_reason']).toBe(reason);
    expect(await path.oracle.ledger('select count(*)::int as n from mayfly.lease')).toEqual(before);
    const events = await path.oracle.ledger('select kind from mayfly.audit_event where id = $1', [
      answer.body['decision_id'],
    ]);
    expect(events).toEqual([{ kind: 'decision.denied' }]);
  });

  test('the same answer for a scope that does not exist and one that is not allowed', async () => {
    const writer = await path.token('report-writer');
    const ask = (scope: string) =>
      exchange(broker.url, writer, { identifier: 'r-1', taskType: 'write-report', scope });
    const [unknown, foreign] = [await ask('no-such-scope'), await ask('orders-write')];
    for (const member of ['error', 'error_reason', 'error_description']) {
      expect(foreign.body[member]).toEqual(unknown.body[member]);
    }
  });

  test('an unmapped identity', async () => {
    const unmapped = await path.token('stranger');
    const answer = await exchange(broker.url, unmapped, { identifier: 'u-1' });
    expect([answer.status, answer.body['error_reason']]).toEqual([400, 'unmapped_identity']);
  });

  test('wider details under an open task', async () => {
    await granted(broker.url, token, { identifier: 'open-1', details: { actions: ['read'] } });
    const wider = await exchange(broker.url, token, { identifier: 'open-1' });
    expect(wider.body['error_reason']).toBe('wider_than_open_task');
  });
});

test('operators list what lives, agents only their own', async () => {
  const grant = await granted(broker.url, token, { identifier: 'list-1' });
  const list = await get(broker.url, '/v1/leases?agent=invoice-reconciler', operator);
  expect(list.status).toBe(200);
  const ids = (list.body['leases'] ?? list.body['items']) as { lease_id?: string; id?: string }[];
  expect(ids.map((lease) => lease.lease_id ?? lease.id)).toContain(grant.leaseId);
  expect((await get(broker.url, '/v1/leases', token)).status).toBe(403);
  expect((await get(broker.url, `/v1/leases/${grant.leaseId}`, token)).status).toBe(200);
  const stranger = await path.token('report-writer');
  expect((await get(broker.url, `/v1/leases/${grant.leaseId}`, stranger)).status).toBe(404);
  expect((await get(broker.url, `/v1/tasks/${grant.taskId}`, token)).status).toBe(200);
  expect((await get(broker.url, '/v1/leases')).status).toBe(401);
});

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

describe('clients that are not ours', () => {
  const discovered = () =>
    openid.discovery(new URL(path.world.publicUrl), 'any-client', undefined, openid.None(), {
      algorithm: 'oauth2',
      execute: [openid.allowInsecureRequests],
    });

  test('openid-client discovers the broker and exchanges a token, unmodified', async () => {
    const configuration = await discovered();
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
    const configuration = await discovered();
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
});
