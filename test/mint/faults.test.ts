import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { join } from 'node:path';
import { startOpenBao } from '../../src/embedded/openbao.ts';
import type { EmbeddedOpenBao } from '../../src/embedded/openbao.ts';
import { startPostgres } from '../../src/embedded/postgres.ts';
import type { EmbeddedPostgres } from '../../src/embedded/postgres.ts';
import { systemClock } from '../../src/foundation/clock.ts';
import { SecretText } from '../../src/foundation/secret-text.ts';
import type { Backend } from '../../src/mint/connect-backend.ts';
import { baoProgram, nameOf, PLACE, startWorld, SUPERUSER_PASSWORD } from './support/world.ts';
import type { World } from './support/world.ts';

let world: World;
let backend: Backend;
let bao: EmbeddedOpenBao;
let postgres: EmbeddedPostgres;
let lease = 1;

beforeAll(async () => {
  world = await startWorld();
  ({ bao, postgres } = world);
  backend = await world.connect();
  await backend.start();
});

afterAll(async () => {
  // A test that failed may have left it stopped in its tracks.
  bao?.kill('SIGCONT');
  await backend?.stop();
  await Promise.all([bao?.stop(), postgres?.stop()]);
  await world?.stop();
});

async function token(ttlSeconds = 120): Promise<SecretText> {
  const made = await backend.minter.token(PLACE, nameOf(lease++), ttlSeconds);
  if (!made.ok) throw new Error(made.failure.detail);
  return made.value;
}

async function mint() {
  const outcome = await backend.minter.credential(PLACE, await token());
  if (outcome.kind !== 'minted') throw new Error(outcome.failure.detail);
  return outcome;
}

/** OpenBao stopped in its tracks for as long as `work` takes. */
async function frozen<Value>(work: () => Promise<Value>): Promise<Value> {
  bao.kill('SIGSTOP');
  try {
    return await work();
  } finally {
    bao.kill('SIGCONT');
  }
}

async function restartBao(): Promise<void> {
  bao = await startOpenBao({
    folder: join(world.folder, 'bao'),
    bao: await baoProgram(),
    adminPassword: new SecretText('unused'),
    port: bao.port,
  });
}

test('OpenBao stopped in its tracks: a mint waits, is not cut, and ends when it goes on', async () => {
  const ready = await token();
  const mint = await frozen(async () => {
    let ended = false;
    const waiting = backend.minter.credential(PLACE, ready).finally(() => (ended = true));
    await systemClock.sleep(500);
    expect(await backend.probe.health()).toMatchObject({ state: 'unreachable' });
    expect(ended).toBe(false);
    return { waiting };
  });
  expect((await mint.waiting).kind).toBe('minted');
});

test('a stop of ours waits for a mint that is under way', async () => {
  const other = await world.connect();
  await other.start();
  const made = await other.minter.token(PLACE, nameOf(lease++), 120);
  if (!made.ok) throw new Error(made.failure.detail);
  // The target takes its time; OpenBao itself answers, so that nothing else holds the stop up.
  const slow = world.superuser(
    'do $$ begin lock table pg_authid in share mode; perform pg_sleep(0.8); end $$',
  );
  await systemClock.sleep(200);
  const order: string[] = [];
  const mint = other.minter.credential(PLACE, made.value).finally(() => order.push('minted'));
  await Promise.all([slow, mint, other.stop().finally(() => order.push('stopped'))]);
  expect((await mint).kind).toBe('minted');
  expect(order).toEqual(['minted', 'stopped']);
});

test('OpenBao killed under a mint: unknown; after its return everything goes on', async () => {
  const earlier = await mint();
  const ready = await token();
  bao.kill('SIGSTOP');
  const mintOf = backend.minter.credential(PLACE, ready);
  await systemClock.sleep(100);
  bao.kill('SIGKILL');
  expect(await mintOf).toMatchObject({ kind: 'unknown', failure: { reason: 'mint_unknown' } });
  await bao.exited;
  expect(await backend.minter.credential(PLACE, ready)).toMatchObject({ kind: 'unsent' });
  expect(await backend.reaper.revoke(earlier.backendLeaseId)).toMatchObject({
    ok: false,
    failure: { reason: 'backend_unreachable' },
  });
  await restartBao();
  expect(await backend.reaper.revoke(earlier.backendLeaseId)).toMatchObject({ ok: true });
  await mint();
});

test('the target down: a mint is unknown, a revoke is kept for later', async () => {
  const earlier = await mint();
  const ready = await token();
  await postgres.stop();
  const failed = await backend.minter.credential(PLACE, ready);
  expect(failed).toMatchObject({ kind: 'unknown', failure: { reason: 'mint_unknown' } });
  for (let attempt = 0; attempt < 2; attempt++) {
    expect(await backend.reaper.revoke(earlier.backendLeaseId)).toMatchObject({
      ok: false,
      failure: { reason: 'target_unreachable' },
    });
  }
  expect(await backend.reaper.knows(earlier.backendLeaseId)).toEqual({ ok: true, value: true });
  postgres = await startPostgres({
    dataDir: join(world.folder, 'pg'),
    superuserPassword: SUPERUSER_PASSWORD,
    port: postgres.port,
    durable: false,
  });
  expect(await backend.reaper.revoke(earlier.backendLeaseId)).toMatchObject({ ok: true });
  expect(await backend.reaper.knows(earlier.backendLeaseId)).toEqual({ ok: true, value: false });
});

test('sealed: said as such, a mint that meets it is unknown, and it goes on by itself', async () => {
  const earlier = await mint();
  const ready = await token();
  await world.admin.write('sys/seal', {});
  expect(await backend.probe.health()).toMatchObject({ state: 'sealed' });
  const sealed = { failure: { reason: 'backend_sealed', retryAfterSeconds: 5 } };
  expect(await backend.minter.token(PLACE, nameOf(lease++), 60)).toMatchObject(sealed);
  const met = await backend.minter.credential(PLACE, ready);
  expect(met).toMatchObject({ kind: 'unknown', ...sealed });
  expect(await backend.reaper.revoke(earlier.backendLeaseId)).toMatchObject(sealed);
  await bao.stop();
  await restartBao();
  expect(await backend.reaper.revoke(earlier.backendLeaseId)).toMatchObject({ ok: true });
  await mint();
});
