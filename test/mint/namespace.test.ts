import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { systemClock } from '../../src/foundation/clock.ts';
import { SecretText } from '../../src/foundation/secret-text.ts';
import type { Backend, BackendConfig } from '../../src/mint/connect-backend.ts';
import { openAdministrator } from '../../src/mint/provision/administrator.ts';
import { applyBackend } from '../../src/mint/provision/apply-backend.ts';
import { examineBackend } from '../../src/mint/provision/examine-backend.ts';
import { designOf, loginFiles, nameOf, PLACE, startWorld } from './support/world.ts';
import type { World } from './support/world.ts';

const NAMESPACE = 'team-a';
let world: World;

beforeAll(async () => {
  world = await startWorld();
  const made = await world.admin.write(`sys/namespaces/${NAMESPACE}`, {});
  expect(made.ok).toBe(true);
});

afterAll(() => world?.stop());

async function started(other: Partial<BackendConfig>): Promise<Backend> {
  const backend = await world.connect({ namespace: NAMESPACE, ...other });
  await backend.start();
  return backend;
}

test('everything works inside a namespace of OpenBao', async () => {
  await world.superuser(`create role team_admin login createrole password 'first'`);
  await world.superuser('grant orders_ro to team_admin with admin option');
  const target = { ...world.target, admin: { username: 'team_admin' } };
  const design = designOf([world.scope], target);
  const at = { address: world.bao.address, namespace: NAMESPACE };
  const admin = await openAdministrator(at, world.adminToken);
  const passwords = new Map([['orders', new SecretText('first')]]);
  expect(await applyBackend(admin, design, passwords)).toMatchObject({ ok: true });
  const again = await applyBackend(admin, design, passwords);
  const steps = again.ok ? again.value.steps : [];
  expect(steps.filter(({ action }) => action !== 'unchanged')).toEqual([]);

  const logins = {
    minter: await loginFiles(admin, world.folder, 'minter'),
    reaper: await loginFiles(admin, world.folder, 'reaper'),
  };
  const backend = await started(logins);
  expect(await backend.probe.health()).toMatchObject({ state: 'ready' });
  const token = await backend.minter.token(PLACE, nameOf(1), 60);
  if (!token.ok) throw new Error(token.failure.detail);
  const outcome = await backend.minter.credential(PLACE, token.value);
  if (outcome.kind !== 'minted') throw new Error(outcome.failure.detail);
  const id = outcome.backendLeaseId;
  expect(await backend.reaper.list(PLACE.mount, PLACE.role)).toEqual({ ok: true, value: [{ id }] });
  expect(await backend.reaper.revoke(id)).toMatchObject({ ok: true });
  expect(await backend.reaper.knows(id)).toEqual({ ok: true, value: false });

  const findings = await examineBackend({
    at,
    token: world.adminToken,
    design,
    logins,
    clock: systemClock,
  });
  expect(findings.filter(({ ok }) => !ok)).toEqual([]);
  admin.close();
});

test('a namespace that is not there is refused', async () => {
  const backend = await started({ namespace: 'nowhere' });
  expect(await backend.probe.health()).toMatchObject({ state: 'not_logged_in' });
});
