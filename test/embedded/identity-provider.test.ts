import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { DEMO_CLIENTS } from '../../src/embedded/identity-clients.ts';
import { startIdentityProvider } from '../../src/embedded/identity-provider.ts';
import type { IdentityProvider } from '../../src/embedded/identity-provider.ts';

const publicUrl = 'http://127.0.0.1:8700';
let folder = '';
let provider: IdentityProvider;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mayfly-identity-'));
  provider = await startIdentityProvider({ folder, publicUrl, clients: DEMO_CLIENTS });
});

afterAll(async () => {
  await provider.stop();
  await rm(folder, { recursive: true, force: true });
});

async function verified(client: string, resource?: string) {
  const token = await provider.token(client, resource);
  return jwtVerify(token.reveal(), createRemoteJWKSet(new URL(provider.jwksUri)), {
    issuer: provider.issuer,
  });
}

describe('the identity provider', () => {
  test('gives an agent a token for the broker that carries its SPIFFE id', async () => {
    const { payload, protectedHeader } = await verified('invoice-reconciler');
    expect(protectedHeader).toMatchObject({ alg: 'ES256', typ: 'at+jwt' });
    expect(payload).toMatchObject({
      iss: provider.issuer,
      sub: 'spiffe://demo.example/agent/invoice-reconciler',
      aud: publicUrl,
    });
    expect(Number(payload.exp) - Number(payload.iat)).toBe(300);
  });

  test('gives a person a token for operators with their groups', async () => {
    const { payload } = await verified('operator', `${publicUrl}/operators`);
    expect(payload).toMatchObject({ aud: `${publicUrl}/operators`, groups: ['mayfly-operators'] });
  });

  test('refuses an agent that asks for the audience of operators', async () => {
    await expect(provider.token('report-writer', `${publicUrl}/operators`)).rejects.toThrow(
      'invalid_target',
    );
  });

  test('gives a late client a true token that has ended', async () => {
    await expect(verified('invoice-reconciler-late')).rejects.toMatchObject({
      code: 'ERR_JWT_EXPIRED',
    });
  });

  test('says where its endpoints are', async () => {
    const found = await fetch(`${provider.issuer}/.well-known/openid-configuration`);
    expect(await found.json()).toMatchObject({
      issuer: provider.issuer,
      token_endpoint: provider.tokenEndpoint,
      jwks_uri: provider.jwksUri,
    });
  });

  test('keeps its key and its secrets, closed to others, over a restart', async () => {
    const before = provider.clientSecret('report-writer').reveal();
    const token = await provider.token('report-writer');
    await provider.stop();
    const port = Number(new URL(provider.issuer).port);
    provider = await startIdentityProvider({ folder, port, publicUrl, clients: DEMO_CLIENTS });
    expect(provider.clientSecret('report-writer').reveal()).toBe(before);
    const keys = createRemoteJWKSet(new URL(provider.jwksUri));
    await expect(jwtVerify(token.reveal(), keys)).resolves.toBeDefined();
    expect((await stat(provider.secretsFile)).mode & 0o777).toBe(0o600);
  });
});
