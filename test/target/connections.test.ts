import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type pg from 'pg';
import { loopbackCertificates } from '../../src/embedded/loopback-certificates.ts';
import type { TlsFiles } from '../../src/embedded/loopback-certificates.ts';
import { startPostgres } from '../../src/embedded/postgres.ts';
import { systemClock } from '../../src/foundation/clock.ts';
import { connectTarget } from '../../src/target/postgres/connect-target.ts';
import { schemaOf } from '../../src/target/postgres/schema-name.ts';
import { TargetUnreachable } from '../../src/target/target-unreachable.ts';
import { startTcpProxy } from '../ledger/support/tcp-proxy.ts';
import { expectGone } from './support/expect-dead.ts';
import { INSTALLATION, buildWorld, mint, newName, secret } from './support/target-world.ts';
import type { Server, World } from './support/target-world.ts';

let folder: string;
let certificates: TlsFiles;
let server: Server;
let world: World;
let restart: () => Promise<void>;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mayfly-target-'));
  certificates = await loopbackCertificates(join(folder, 'tls'), systemClock);
  const superuser = secret();
  const start = (port?: number) =>
    startPostgres({
      dataDir: join(folder, 'data'),
      superuserPassword: superuser,
      durable: false,
      tls: certificates,
      ...(port === undefined ? {} : { port }),
    });
  let running = await start();
  const { host, port } = running;
  server = {
    host,
    port,
    superuser,
    log: () => Promise.resolve(''),
    trustingHba: () => Promise.resolve(''),
    stop: () => running.stop(),
  };
  restart = async () => {
    running = await start(port);
  };
  world = await buildWorld(server);
}, 60_000);

afterAll(async () => {
  await world.close();
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

describe('TLS', () => {
  test('a server of our own authority is believed, over TLS', async () => {
    const config = { ...world.config, tls: { caFile: certificates.caFile } };
    const access = await connectTarget(config, systemClock);
    expect(await access.guard.end([newName()])).toMatchObject([{ closing: 'nothing' }]);
    const { rows } = await world.root.query(
      `select bool_and(s.ssl) as ssl from pg_stat_activity a join pg_stat_ssl s using (pid)
         where a.application_name = 'mayfly' and s.ssl`,
    );
    expect(rows).toEqual([{ ssl: true }]);
    await access.close();
  });

  test.each([
    ['without its authority', {}],
    ['with another authority', { caFile: 'other' }],
  ])('it is not believed %s', async (_what, tls) => {
    const other = await loopbackCertificates(join(folder, 'other'), systemClock);
    const config = {
      ...world.config,
      tls: 'caFile' in tls ? { caFile: other.caFile } : {},
    };
    const access = await connectTarget(config, systemClock);
    try {
      await expect(access.guard.end([newName()])).rejects.toThrow(TargetUnreachable);
      await expect(access.prover.look([{ name: newName(), oid: null }])).rejects.toThrow(
        /certificate/,
      );
    } finally {
      await access.close();
    }
  });
});

describe('a connection that breaks while it is in use', () => {
  test('one that is cut before its answer: the call is repeated', async () => {
    const proxy = await startTcpProxy(server.port);
    const access = await connectTarget({ ...world.config, port: proxy.port }, systemClock);
    const root = await world.connect('postgres', server.superuser);
    try {
      const { name } = await mint(world);
      proxy.cutAfter('finish');
      const [cut] = await access.guard.end([name]);
      expect(cut).toMatchObject({ name, ended: true });
      await expectGone({ ...world, access, root }, name);
      proxy.cutAfter('look');
      expect(await access.prover.look([{ name, oid: null }])).toHaveLength(1);
    } finally {
      await root.end();
      await access.close();
      await proxy.stop();
    }
  });

  test('one whose target goes away while an ending waits for a lock: the call is rejected', async () => {
    const proxy = await startTcpProxy(server.port);
    const access = await connectTarget({ ...world.config, port: proxy.port }, systemClock);
    const root = await world.connect('postgres', server.superuser);
    try {
      const { name } = await mint(world);
      await access.guard.now();
      await root.query('begin');
      await root.query(`lock table ${schemaOf(INSTALLATION)}.name in access exclusive mode`);
      const ending = access.guard.end([name]);
      ending.catch(() => undefined);
      await waitsForLock(root, 'mayfly_guard');
      await proxy.stop();
      await expect(ending).rejects.toThrow(TargetUnreachable);
      await root.query('rollback');
      await expectGone({ ...world, root }, name);
    } finally {
      await root.end();
      await access.close();
      await proxy.stop();
    }
  });
});

describe('a target that goes and comes back', () => {
  test('calls are rejected while it is away, and succeed afterwards', async () => {
    const { name } = await mint(world);
    await server.stop();
    await expect(world.access.guard.end([name])).rejects.toThrow(TargetUnreachable);
    await expect(world.access.guard.now()).rejects.toThrow(TargetUnreachable);
    await restart();
    const root = await world.connect('postgres', server.superuser);
    await expectGone({ ...world, root }, name);
    await root.end();
  });

  test('a warm connection that was cut is not noticed by the next call', async () => {
    const root = await world.connect('postgres', server.superuser);
    for (const login of ['mayfly_guard', 'mayfly_prover']) {
      await world.access.guard.now();
      await root.query(
        'select pg_terminate_backend(pid) from pg_stat_activity where usename = $1',
        [login],
      );
      const [ending] = await world.access.guard.end([newName()]);
      expect(ending).toMatchObject({ ended: true });
      expect(await world.access.prover.look([{ name: newName(), oid: null }])).toHaveLength(1);
    }
    await root.end();
  });
});

async function waitsForLock(root: pg.Client, login: string): Promise<void> {
  for (;;) {
    const { rowCount } = await root.query(
      "select from pg_stat_activity where usename = $1 and wait_event_type = 'Lock'",
      [login],
    );
    if (rowCount !== 0) return;
    await systemClock.sleep(2);
  }
}
