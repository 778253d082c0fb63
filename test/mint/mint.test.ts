import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Backend } from '../../src/mint/connect-backend.ts';
import { nameOf, PLACE, startWorld } from './support/world.ts';
import type { World } from './support/world.ts';

let world: World;
let backend: Backend;
let lease = 1;

beforeAll(async () => {
  world = await startWorld();
  backend = await world.connect();
  await backend.start();
});

afterAll(async () => {
  await backend?.stop();
  await world?.stop();
});

async function mint(ttlSeconds = 167) {
  const name = nameOf(lease++);
  const token = await backend.minter.token(PLACE, name, ttlSeconds);
  if (!token.ok) throw new Error(token.failure.detail);
  const outcome = await backend.minter.credential(PLACE, token.value);
  if (outcome.kind !== 'minted') throw new Error(outcome.failure.detail);
  return { name, outcome };
}

async function roleExists(name: string): Promise<boolean> {
  return (await world.superuser('select 1 from pg_roles where rolname = $1', [name])).length === 1;
}

describe('minting and ending on a real OpenBao', () => {
  test('the batch token carries the name to the database user and clamps the lease', async () => {
    const { name, outcome } = await mint(167);
    expect(outcome.username).toBe(name);
    expect(outcome.leaseSeconds).toBe(167);
    expect(await roleExists(name)).toBe(true);
    expect(await backend.reaper.knows(outcome.backendLeaseId)).toEqual({ ok: true, value: true });
    expect(await backend.reaper.list(PLACE.mount, PLACE.role)).toEqual({
      ok: true,
      value: [{ id: outcome.backendLeaseId }],
    });
    expect(await backend.reaper.revoke(outcome.backendLeaseId)).toEqual({
      ok: true,
      value: 'revoked',
    });
    expect(await roleExists(name)).toBe(false);
    expect(await backend.reaper.knows(outcome.backendLeaseId)).toEqual({ ok: true, value: false });
    expect(await backend.reaper.revoke(outcome.backendLeaseId)).toEqual({
      ok: true,
      value: 'revoked',
    });
    expect(await backend.reaper.list(PLACE.mount, PLACE.role)).toEqual({ ok: true, value: [] });
  });

  test('a healthy backend is ready', async () => {
    expect(await backend.probe.health()).toMatchObject({ state: 'ready' });
  });
});
