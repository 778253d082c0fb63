import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { join } from 'node:path';
import { loopbackCertificates } from '../../src/embedded/loopback-certificates.ts';
import { systemClock } from '../../src/foundation/clock.ts';
import type { Backend, BackendConfig } from '../../src/mint/connect-backend.ts';
import { applyBackend } from '../../src/mint/provision/apply-backend.ts';
import { examineBackend } from '../../src/mint/provision/examine-backend.ts';
import { designOf, nameOf, PLACE, startWorld } from './support/world.ts';
import type { World } from './support/world.ts';

let world: World;

beforeAll(async () => {
  world = await startWorld({ tls: true });
});

afterAll(() => world?.stop());

async function started(other: Partial<BackendConfig>): Promise<Backend> {
  const backend = await world.connect(other);
  await backend.start();
  return backend;
}

test('broker to OpenBao and OpenBao to target, each checked by its own authority', async () => {
  expect(world.bao.address).toMatch(/^https:/);
  const backend = await started({});
  const token = await backend.minter.token(PLACE, nameOf(1), 60);
  if (!token.ok) throw new Error(token.failure.detail);
  const outcome = await backend.minter.credential(PLACE, token.value);
  if (outcome.kind !== 'minted') throw new Error(outcome.failure.detail);
  const [session] = await world.superuser<{ ssl: boolean }>(
    `select s.ssl from pg_stat_ssl s join pg_stat_activity using (pid)
     where application_name = 'mayfly-backend'`,
  );
  expect(session?.ssl).toBe(true);
  expect(await backend.reaper.revoke(outcome.backendLeaseId)).toMatchObject({ ok: true });
  expect(world.design.configs[0]?.connectionUrl).toContain('sslmode=verify-full');
});

test('a second apply changes nothing with TLS either, and doctor is content', async () => {
  const again = await applyBackend(world.admin, world.design, world.passwords);
  const steps = again.ok ? again.value.steps : [];
  expect(steps.filter(({ action }) => action !== 'unchanged')).toEqual([]);
  const findings = await examineBackend({
    at: { address: world.bao.address, caFile: world.bao.caFile },
    token: world.adminToken,
    design: world.design,
    logins: world.logins,
    clock: systemClock,
  });
  expect(findings.filter(({ ok }) => !ok)).toEqual([]);
});

test('an OpenBao that the authority does not know gets no byte of ours', async () => {
  const { caFile } = await loopbackCertificates(join(world.folder, 'other'), systemClock);
  const backend = await started({ caFile });
  expect(await backend.probe.health()).toMatchObject({
    state: 'unreachable',
    detail: expect.stringContaining('not sent') as unknown as string,
  });
});

test('a target that its authority does not know is not accepted by OpenBao', async () => {
  const { caFile } = await loopbackCertificates(join(world.folder, 'other'), systemClock);
  const design = designOf([world.scope], world.target, caFile);
  const applied = await applyBackend(world.admin, design, world.passwords);
  expect(applied).toMatchObject({ ok: false, failure: { at: 'agents-db/config/orders' } });
});
