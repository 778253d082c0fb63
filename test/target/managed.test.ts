import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { systemClock } from '../../src/foundation/clock.ts';
import { diagnoseTarget } from '../../src/target/postgres/diagnosis.ts';
import { installTarget } from '../../src/target/postgres/install.ts';
import { expectGone, expectResidue } from './support/expect-dead.ts';
import {
  buildWorld,
  connectAs,
  creation,
  ids,
  mint,
  secret,
  startServer,
} from './support/target-world.ts';
import type { Credential, Server, World } from './support/target-world.ts';

/** Where no superuser is to be had: the routines have the rights of OpenBao's own login. */
let server: Server;
let world: World;

beforeAll(async () => {
  server = await startServer(18);
  world = await buildWorld(server, { routinesOwner: 'admin' });
}, 60_000);
afterAll(async () => {
  await world.close();
  await server.stop();
});

async function act(credential: Credential, sql: string) {
  const session = await world.connect(credential.name, credential.password);
  try {
    return (await session.query<Record<string, string>>(sql)).rows;
  } finally {
    await session.end();
  }
}

async function unmet(of: World) {
  const { rows } = await of.root.query<{ id: string }>(
    'select system_identifier::text as id from pg_control_system()',
  );
  const findings = await diagnoseTarget(
    {
      config: of.config,
      admin: of.plan.admin.username,
      routinesOwner: 'admin',
      groups: ['orders_read', 'orders_write'],
      declaredReplicas: 0,
      ledger: { now: () => Promise.resolve(systemClock.now()), cluster: `not ${rows[0]?.id}` },
      rehearse: async (name, group) => {
        await of.openbao.query(await creation(name, secret(), group));
      },
    },
    systemClock,
    ids,
  );
  return findings.filter(({ ok, severity }) => !ok && severity !== 'notice');
}

describe('with the rights of OpenBao’s login alone', () => {
  test('doctor has nothing to say against it', async () => {
    expect(await unmet(world)).toEqual([]);
  });

  test.each([
    [
      'cannot end sessions',
      'revoke pg_signal_backend from openbao_admin',
      'grant pg_signal_backend to openbao_admin',
    ],
    [
      'cannot hand out orders_read',
      'revoke orders_read from openbao_admin',
      'grant orders_read to openbao_admin with admin true, inherit false, set false',
    ],
    [
      'lacks CREATEROLE',
      'alter role openbao_admin nocreaterole',
      'alter role openbao_admin createrole',
    ],
  ])('doctor finds: %s', async (seen, plant, mend) => {
    await world.root.query(plant);
    try {
      const finding = (await unmet(world)).find(({ check }) => check === 'admin_role');
      expect(finding?.seen).toContain(seen);
    } finally {
      await world.root.query(mend);
    }
  });

  test('a credential with a session, a table and grants is gone at once', async () => {
    const credential = await mint(world, 'orders_write');
    const session = await world.connect(credential.name, credential.password);
    await session.query('create table work.his (x integer); grant select on work.his to public');
    await expectGone(world, credential.name);
    await world.root.query('drop table work.his');
  });

  test('what a holder made goes to the estate role although his group left the catalogue', async () => {
    const credential = await mint(world, 'orders_write');
    await act(credential, 'create table work.kept (x integer)');
    const groups = world.plan.groups.filter(({ name }) => name === 'orders_read');
    await installTarget(world.root, { ...world.plan, groups }, ids);
    try {
      await expectGone(world, credential.name);
    } finally {
      await installTarget(world.root, world.plan, ids);
    }
    const { rows } = await world.root.query(
      `select relowner::regrole::text as owner from pg_class where oid = to_regclass('work.kept')`,
    );
    expect(rows).toEqual([{ owner: 'mayfly_te5t_estate_orders_write' }]);
  });

  test('one that another agent pinned is dead at once, and gone when that one is', async () => {
    const [attacker, victim] = [await mint(world), await mint(world)];
    const [made] = await act(attacker, 'select lo_create(0)::text as id');
    await act(attacker, `grant select on large object ${made?.['id']} to "${victim.name}"`);
    await expectResidue(world, victim.name, /depend on it/);
    await expectGone(world, attacker.name);
    await expectGone(world, victim.name);
  });
});

describe('a change of the routines’ owner', () => {
  test('leaves what lives under the old one to the new one, both ways', async () => {
    const before = await mint(world);
    const apply = async (routinesOwner: 'superuser' | 'admin') => {
      const installed = await installTarget(world.root, { ...world.plan, routinesOwner }, ids);
      if (!installed.ok) throw new Error(installed.failure.detail);
      return installed.value.filter(({ state }) => state !== 'unchanged');
    };
    await apply('superuser');
    expect(await apply('superuser')).toEqual([]);
    await expectGone(world, before.name);
    const between = await mint(world);
    await expect(world.openbao.query('create role by_hand')).rejects.toThrow(/permission denied/);
    await expectGone(world, between.name);
    await apply('admin');
    expect(await apply('admin')).toEqual([]);
    await expectGone(world, (await mint(world)).name);
  });

  test('needs a superuser for the one, and says so', async () => {
    const password = secret();
    await world.root.query(`create role somebody login createrole password '${password.reveal()}'`);
    await world.root.query('grant connect on database orders to somebody');
    const somebody = await connectAs(server, 'somebody', password);
    const refused = await installTarget(
      somebody,
      { ...world.plan, routinesOwner: 'superuser' },
      ids,
    );
    expect(refused).toMatchObject({ ok: false });
    expect(JSON.stringify(refused)).toContain('routines_owner: admin');
    await somebody.end();
  });
});
