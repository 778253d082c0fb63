import { cp, readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import type { BrokerProcess } from '../../src/commands/demo/world.ts';
import { allAccounted, decisions, leasesOf } from './support/accounts.ts';
import {
  canLogin,
  complete,
  exchange,
  EXCHANGE,
  get,
  granted,
  grantOf,
  until,
} from './support/agent.ts';
import type { Granted } from './support/agent.ts';
import { startHttpBetween, isMint } from './support/http-between.ts';
import type { HttpBetween } from './support/http-between.ts';
import { startPathWorld } from './support/path-world.ts';
import type { PathWorld } from './support/path-world.ts';
import { startPostgresWire } from './support/postgres-wire.ts';
import type { PostgresWire } from './support/postgres-wire.ts';

let path: PathWorld;
let broker: BrokerProcess;
let bao: HttpBetween;
/** Between the broker and the target: guard and prover go by it, OpenBao and clients do not. */
let sight: PostgresWire;
/** Users whose logins lead to another server. */
const astray = new Set<string>();

beforeAll(async () => {
  path = await startPathWorld();
  bao = await startHttpBetween('127.0.0.1', path.world.backend.port);
  sight = await startPostgresWire((user) =>
    astray.has(user) ? path.world.ledger.port : path.world.target.port,
  );
  await standIn();
  broker = await path.broker({
    settings: { MAYFLY_BACKEND_URL: bao.url, MAYFLY_CONFIG_DIR: await ownConfig() },
  });
}, 90_000);

afterAll(async () => {
  await path?.stop();
  await bao?.down();
  await sight?.close();
}, 60_000);

/** The world's catalogue, in which Mayfly sees the target by the wire. */
async function ownConfig(): Promise<string> {
  const folder = join(path.world.folder, 'config-by-wire');
  await cp(path.world.settings['MAYFLY_CONFIG_DIR'] ?? '', folder, { recursive: true });
  const file = join(folder, 'targets', 'orders.yaml');
  const server = `server: { host: 127.0.0.1, port: ${sight.port} }\n`;
  await writeFile(file, (await readFile(file, 'utf8')) + server);
  return folder;
}

/** Another server with the same database, schema name and prover login: it knows no user of ours. */
async function standIn(): Promise<void> {
  const url = new URL(path.world.admin.ledgerUrl.reveal());
  const maintenance = new pg.Client({ connectionString: url.href });
  await maintenance.connect();
  const [prover] = await path.oracle.target(
    "select rolpassword from pg_authid where rolname = 'mayfly_prover'",
  );
  await maintenance.query(
    `create role mayfly_prover login password ${pg.escapeLiteral(String(prover?.['rolpassword']))}`,
  );
  await maintenance.query('create database orders');
  await maintenance.end();
}

type Shown = {
  readonly state: string;
  readonly revocability: string;
  readonly revocability_reason?: string | null;
};

async function shown(leaseId: string): Promise<Shown> {
  const answer = await get(broker.url, `/v1/leases/${leaseId}`, await path.operator());
  return (answer.body['lease'] ?? answer.body) as unknown as Shown;
}

describe('wrong server', () => {
  test('the prover is at another Postgres: nothing is called proven', async () => {
    const token = await path.token();
    const good = await granted(broker.url, token, { identifier: 'right', ttl: 120 });
    expect((await complete(broker.url, token, good.taskId)).status).toBe(200);
    expect((await shown(good.leaseId)).revocability).toBe('proven');

    const grant = await granted(broker.url, token, { identifier: 'astray', ttl: 120 });
    astray.add('mayfly_prover');
    sight.down();
    sight.up();
    try {
      await until('the prover answers from elsewhere', 15, async () => {
        const ready = await get(broker.url, '/readyz');
        return ready.status === 200;
      });
      const done = await complete(broker.url, token, grant.taskId);
      expect(done.status).toBe(200);
      expect(await canLogin(grant.uri)).toBe(false);
      const lease = await shown(grant.leaseId);
      expect([lease.revocability, lease.revocability_reason]).toEqual([
        'revocable',
        'prover_wrong_server',
      ]);
    } finally {
      astray.clear();
      sight.down();
      sight.up();
    }
  }, 40_000);

  test('the guard is at another Postgres: nothing is called dead, until it is back', async () => {
    const token = await path.token();
    const grant = await granted(broker.url, token, { identifier: 'guard-astray', ttl: 120 });
    astray.add('mayfly_guard');
    sight.down();
    sight.up();
    try {
      const done = await complete(broker.url, token, grant.taskId, 1);
      expect(done.status).toBe(202);
      expect((await shown(grant.leaseId)).state).toBe('revoking');
    } finally {
      astray.clear();
      sight.down();
      sight.up();
    }
    await until('dead', 15, async () => !(await canLogin(grant.uri)));
  }, 40_000);
});

describe('a guard that does not reach a target that OpenBao reaches', () => {
  test('what was completed is ended all the same, nothing more is made, and all is proven later', async () => {
    const token = await path.token();
    const grants = await Promise.all(
      ['one', 'two', 'three'].map((name) =>
        granted(broker.url, token, { identifier: `unguarded-${name}`, ttl: 300 }),
      ),
    );
    sight.down();
    try {
      for (const { taskId } of grants) {
        expect((await complete(broker.url, token, taskId, 1)).status).toBe(202);
      }
      await until('OpenBao has ended them', 30, async () => {
        const alive = await Promise.all(grants.map(({ uri }) => canLogin(uri)));
        return !alive.includes(true);
      });
      for (const { leaseId } of grants) expect((await shown(leaseId)).state).toBe('revoking');
      const refused = await exchange(broker.url, token, { identifier: 'unguarded-more' });
      expect(refused.body['error_reason']).toBe('guard_unreachable');
      expect(refused.status).toBe(503);
      expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    } finally {
      sight.up();
    }
    await until('all of it is proven', 20, async () => {
      const seen = await Promise.all(grants.map(({ leaseId }) => shown(leaseId)));
      return seen.every(
        ({ state, revocability }) => state === 'settled' && revocability === 'proven',
      );
    });
    await until('it is granted again', 10, async () => {
      const again = await exchange(broker.url, token, { identifier: 'unguarded-more', ttl: 120 });
      if (again.status !== 200) return false;
      return (await complete(broker.url, token, String(again.body['task_id']))).status === 200;
    });
  }, 90_000);
});

describe('the caller gone before its answer', () => {
  /** Sends an exchange and hangs up after `ms`, or when `when` says so. */
  async function hangUp(identifier: string, when: () => Promise<unknown>): Promise<void> {
    const body = new URLSearchParams({
      ...EXCHANGE,
      subject_token: await path.token(),
      scope: 'orders-read',
      ttl: '300',
      authorization_details: JSON.stringify([
        { type: 'agent_task', task_type: 'reconcile-invoice', identifier },
      ]),
    }).toString();
    const socket = connect(Number(new URL(broker.url).port), '127.0.0.1');
    socket.on('error', () => undefined);
    await new Promise((resolve) => socket.once('connect', resolve));
    socket.write(
      `POST /exchange HTTP/1.1\r\nhost: mayfly\r\ncontent-length: ${body.length}\r\n` +
        `content-type: application/x-www-form-urlencoded\r\n\r\n${body}`,
    );
    await when();
    socket.destroy();
  }

  test('while the mint is under way: ended as answer_lost', async () => {
    let minting: () => void = () => undefined;
    let release: () => void = () => undefined;
    const reached = new Promise<void>((resolve) => (minting = resolve));
    const gate = new Promise<void>((resolve) => (release = resolve));
    bao.decide = async (call, on) => {
      const reply = await on();
      if (isMint(call)) {
        minting();
        await gate;
      }
      return reply;
    };
    await hangUp('gone-mint', () => reached);
    const [lease] = await leasesOf(path, 'gone-mint');
    // The broker needs a moment to hear of the closed connection; then the mint goes on.
    await new Promise((resolve) => setTimeout(resolve, 100));
    bao.pass();
    release();
    await until('ended', 5, async () => {
      const [row] = await leasesOf(path, 'gone-mint');
      return /revoked|settled/.test(row?.state ?? '') && row?.end_cause === 'answer_lost';
    });
    expect(await path.oracle.roleExists(String(lease?.credential_name))).toBe(false);
  }, 20_000);

  test('at any moment: ended, or never made', async () => {
    for (const ms of [0, 1, 2, 4, 6, 8, 10, 12, 15, 20]) {
      await hangUp(`gone-${ms}`, () => new Promise((resolve) => setTimeout(resolve, ms)));
    }
    await until('nothing of them lives', 12, async () => {
      const rows = await path.oracle.ledger(
        `select l.state, l.end_cause from mayfly.lease l join mayfly.task t on t.id = l.task_id
         where t.identifier ~ '^gone-[0-9]'`,
      );
      const dead = rows.every(({ state }) => /revoked|settled|abandoned/.test(String(state)));
      return dead && (await path.oracle.roles()).length === 0;
    });
  }, 30_000);
});

/** What callers hung up on a moment ago may still wait for its turn. */
async function decidedByNow(): Promise<number> {
  let count = -1;
  await until('nothing is decided any more', 10, async () => {
    const before = count;
    count = await decisions(path);
    await new Promise((resolve) => setTimeout(resolve, 500));
    return count === before;
  });
  return count;
}

describe('the target down at mint', () => {
  test('nothing is granted, the reason is said, and it works when it is back', async () => {
    const token = await path.token();
    const decided = await decidedByNow();
    await path.world.target.stop();
    const answer = await exchange(broker.url, token, { identifier: 'down', ttl: 120 });
    expect(answer.status).toBe(503);
    expect(answer.body['error']).toBe('temporarily_unavailable');
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await decisions(path)).toBe(decided + 1);
    // The replica stays in service, for its other targets, and says which one is away.
    const ready = await get(broker.url, '/readyz');
    expect(JSON.stringify(ready.body)).toMatch(/"orders"[^}]*"ok":false|"ok":false[^}]*"orders"/);
    await path.world.target.start();
    await until('it works again', 20, async () => {
      const again = await exchange(broker.url, token, { identifier: 'down', ttl: 120 });
      if (again.status !== 200) return false;
      return (await complete(broker.url, token, String(again.body['task_id']))).status === 200;
    });
    const rows = await leasesOf(path, 'down');
    expect(rows.filter(({ state }) => state === 'active')).toEqual([]);
  }, 60_000);
});

describe('the target crashes', () => {
  /** A commit that waited for no disk is lost with the server's memory, unless it is written by then. */
  async function crash(): Promise<void> {
    const [own] = await path.oracle.target('select pg_backend_pid() as pid');
    process.kill(Number(own?.['pid']), 'SIGKILL');
    await until('the target is back', 20, () =>
      path.oracle.target('select').then(
        () => true,
        () => false,
      ),
    );
  }

  /** After a crash some connections have to be made anew. */
  async function grantedAgain(identifier: string, token: string): Promise<Granted> {
    let grant: Granted | undefined;
    await until('it is granted', 20, async () => {
      const answer = await exchange(broker.url, token, { identifier, ttl: 120 });
      if (answer.status === 200) grant = grantOf(answer);
      return grant !== undefined;
    });
    return grant as unknown as Granted;
  }

  const completed = (token: string, { taskId }: Granted) =>
    until('it is completed', 20, async () => {
      return (await complete(broker.url, token, taskId)).status === 200;
    });

  /** The commit of something else, an ending of another test, would flush the mint with its own. */
  async function forgotten(token: string): Promise<Granted> {
    for (let n = 1; n <= 5; n++) {
      const grant = await grantedAgain(`forgotten-${n}`, token);
      await crash();
      if (!(await path.oracle.roleExists(grant.username))) return grant;
      await completed(token, grant);
    }
    throw new Error('it never forgot one');
  }

  test('a credential that it forgot is dead, nobody makes it again, and its death is not called proven', async () => {
    const token = await path.token();
    await path.oracle.target("alter system set wal_writer_delay = '10s'");
    await path.oracle.target('select pg_reload_conf()');
    try {
      const grant = await forgotten(token);
      expect(await canLogin(grant.uri)).toBe(false);
      await completed(token, grant);
      const lease = await shown(grant.leaseId);
      expect([lease.revocability, lease.revocability_reason]).toEqual([
        'revocable',
        'no_positive_control',
      ]);
      const made = path.oracle.target(
        `select "mayfly_${path.world.installation}".make($1, $2, 'orders_readers')`,
        [grant.username, 'SCRAM-SHA-256$'],
      );
      await expect(made).rejects.toMatchObject({ code: 'MF003' });
    } finally {
      await path.oracle.target('alter system reset wal_writer_delay');
      await path.oracle.target('select pg_reload_conf()');
    }
  }, 90_000);
});

test('in the end everything is accounted for', async () => {
  await allAccounted(path, 25);
}, 60_000);
