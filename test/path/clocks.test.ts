import { execFile } from 'node:child_process';
import { chmod, copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { BrokerProcess } from '../../src/commands/demo/world.ts';
import { startPostgres } from '../../src/embedded/postgres.ts';
import type { EmbeddedPostgres } from '../../src/embedded/postgres.ts';
import { SecretText } from '../../src/foundation/secret-text.ts';
import { allAccounted, leasesOf } from './support/accounts.ts';
import { complete, exchange, get, granted, login, until } from './support/agent.ts';
import { startHttpBetween } from './support/http-between.ts';
import type { HttpBetween } from './support/http-between.ts';
import { startOwnIssuer, trusting } from './support/own-issuer.ts';
import type { OwnIssuer } from './support/own-issuer.ts';
import { startPathWorld } from './support/path-world.ts';
import type { PathWorld } from './support/path-world.ts';
import { PROVE } from './support/scale.ts';

const fileBeside = (name: string) => fileURLToPath(new URL(`../support/${name}`, import.meta.url));

let path: PathWorld;
let own: OwnIssuer;
let bao: HttpBetween;
let folder: string;
/** Its clock can be set; the only one that sweeps. */
let moved: BrokerProcess;
/** Its clock is right. */
let right: BrokerProcess;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mayfly-clocks-'));
  // Postgres, as a user of its own, reads what is in there.
  await chmod(folder, 0o755);
  own = await startOwnIssuer(() => path.world.publicUrl);
  path = await startPathWorld(trusting(own));
  bao = await startHttpBetween('127.0.0.1', path.world.backend.port);
  [moved, right] = await Promise.all([
    path.broker({
      settings: {
        NODE_OPTIONS: `--require=${fileBeside('moved-date.cjs')}`,
        MOVED_DATE_FILE: join(folder, 'date'),
      },
    }),
    path.broker({ settings: { MAYFLY_SWEEP: 'off', MAYFLY_BACKEND_URL: bao.url } }),
  ]);
}, 90_000);

afterEach(async () => {
  bao.pass();
  await setLedger(0);
  await setBroker(0);
});

afterAll(async () => {
  await path?.stop();
  await bao?.down();
  await own?.stop();
  await rm(folder, { recursive: true, force: true });
}, 60_000);

const nowSeconds = () => Math.floor(Date.now() / 1000);

/** Good whatever the time is, within some minutes. */
const goodToken = () => own.token({ iat: nowSeconds() - 900, exp: nowSeconds() + 900 });

/** The deadline that a credential's name carries, in Unix milliseconds. */
const deadlineOf = (username: string) => parseInt(username.slice(-8), 16) * 1000;

/** Sets the broker's wall clock; resolves when it shows. */
async function setBroker(seconds: number): Promise<void> {
  await writeFile(join(folder, 'date'), String(seconds * 1000));
  await until('the clock of the broker is set', 5, async () => {
    return Math.abs((await skewOf(moved, 'broker')) - (seconds - ledgerIsOff)) < 1;
  });
}

let ledgerIsOff = 0;

async function setLedger(seconds: number): Promise<void> {
  ledgerIsOff = seconds;
  await path.oracle.ledger(
    `create or replace function mayfly.ledger_now() returns timestamptz language sql volatile
     parallel safe as $$ select clock_timestamp() + interval '${seconds} seconds' $$`,
  );
}

type Clocks = readonly { part: string; name?: string; skew_seconds: number; ok: boolean }[];

async function clocksOf(broker: BrokerProcess): Promise<Clocks> {
  return (await get(broker.url, '/readyz')).body['clocks'] as Clocks;
}

async function skewOf(broker: BrokerProcess, part: string): Promise<number> {
  return (await clocksOf(broker)).find((clock) => clock.part === part)?.skew_seconds ?? NaN;
}

/** When the session ends, in milliseconds after the deadline; it is opened now. */
async function lateness(grant: { uri: string; username: string }): Promise<() => Promise<number>> {
  const session = await login(grant.uri);
  const ended = new Promise<number>((resolve) => {
    session.on('end', () => resolve(Date.now() - deadlineOf(grant.username)));
  });
  return () => ended;
}

describe('the clock of the broker', () => {
  test.each([-60, 60])('F-ID-1: %i s off: nothing is granted, endings go on', async (seconds) => {
    const token = await goodToken();
    const grant = await granted(right.url, token, { identifier: `off${seconds}`, ttl: 120 });
    await setBroker(seconds);
    const answer = await exchange(moved.url, token, { identifier: `wrong${seconds}` });
    expect([answer.status, answer.body['error_reason']]).toEqual([503, 'clocks_apart']);
    expect(answer.headers.get('retry-after')).toBe('10');
    expect(await leasesOf(path, `wrong${seconds}`)).toEqual([]);
    // A clock that is behind would believe a token that has ended.
    const ended = await own.token({ iat: nowSeconds() - 300, exp: nowSeconds() - 30 });
    expect((await exchange(moved.url, ended, { identifier: 'ended' })).status).not.toBe(200);
    const ready = await get(moved.url, '/readyz');
    expect([ready.status, ready.body['ready']]).toEqual([503, false]);
    expect(await clocksOf(moved)).toContainEqual(
      expect.objectContaining({ part: 'broker', ok: false }),
    );
    const metrics = String((await get(moved.url, '/metrics')).body['text']);
    expect(
      Number(/clock_skew_seconds\{part="broker",name=""\} (\S+)/.exec(metrics)?.[1]),
    ).toBeCloseTo(seconds, 0);
    expect((await complete(moved.url, token, grant.taskId)).status).toBe(200);
  });

  test.each([-20, 20])('%i s off: what it says is left never is too much', async (seconds) => {
    await setBroker(seconds);
    const answer = await exchange(moved.url, await goodToken(), {
      identifier: `left${seconds}`,
      ttl: 60,
    });
    const left =
      (deadlineOf((answer.body['credential'] as { username: string }).username) - Date.now()) /
      1000;
    expect(answer.body['expires_in']).toBeLessThanOrEqual(left + 0.1);
    expect(answer.body['expires_in']).toBeGreaterThan(left - 3);
    await complete(right.url, await goodToken(), String(answer.body['task_id']));
  });

  (PROVE ? test : test.skip).each([-300, 300])(
    'set by %i s at work: the sweep goes on, and a deadline kills on time',
    async (seconds) => {
      const grant = await granted(right.url, await goodToken(), {
        identifier: `set${seconds}`,
        ttl: 4,
      });
      const late = await lateness(grant);
      await setBroker(seconds);
      // The published bound of docs/lifecycle.md.
      expect(await late()).toBeLessThan(3_000);
    },
    15_000,
  );
});

describe('the clock of the ledger', () => {
  test('behind: a name that is dead on arrival is refused by the target, and nothing lives', async () => {
    await setLedger(-25);
    const answer = await exchange(right.url, await goodToken(), { identifier: 'dead', ttl: 10 });
    expect([answer.status, answer.body['error_reason']]).toEqual([503, 'mint_unknown']);
    expect(await path.oracle.roles()).toEqual([]);
    expect(await clocksOf(right)).toContainEqual(
      expect.objectContaining({ part: 'target', name: 'orders', ok: false }),
    );
  });

  const proven = PROVE ? test : test.skip;

  proven(
    'set back by 300 s: what lives dies on time, by its name',
    async () => {
      const token = await goodToken();
      const grant = await granted(right.url, token, { identifier: 'back', ttl: 4 });
      const late = await lateness(grant);
      await setLedger(-300);
      expect(await late()).toBeLessThan(5_000);
      const refused = await exchange(right.url, token, { identifier: 'meanwhile' });
      expect(refused.body['error_reason']).toBe('clocks_apart');
    },
    20_000,
  );

  proven(
    'set forward by 300 s: what lives dies early, never late',
    async () => {
      const grant = await granted(right.url, await goodToken(), {
        identifier: 'forward',
        ttl: 120,
      });
      const late = await lateness(grant);
      await setLedger(300);
      expect(await late()).toBeLessThan(-110_000);
    },
    20_000,
  );
});

test('the clock of OpenBao is compared too', async () => {
  bao.decide = async (call, on) => {
    const reply = await on();
    if (!call.path.includes('sys/health')) return reply;
    const wrong = reply.body.replace(
      /"server_time_utc":(\d+)/,
      (_all, at: string) => `"server_time_utc":${Number(at) + 300}`,
    );
    return { ...reply, body: wrong };
  };
  const clocks = await clocksOf(right);
  expect(clocks.find(({ part }) => part === 'backend')).toMatchObject({ ok: false });
  expect(await skewOf(right, 'backend')).toBeCloseTo(300, -1);
  bao.pass();
  expect(await clocksOf(right)).toEqual([
    expect.objectContaining({ part: 'broker', ok: true }),
    { part: 'backend', skew_seconds: 0, ok: true },
    expect.objectContaining({ part: 'target', name: 'orders', ok: true }),
  ]);
});

const provenWithCompiler = PROVE ? describe : describe.skip;

provenWithCompiler('the clock of the target (needs a C compiler)', () => {
  let target: EmbeddedPostgres;

  beforeAll(async () => {
    const library = join(folder, 'moved-clock.so');
    const source = join(folder, 'moved-clock.c');
    await copyFile(fileBeside('moved-clock.c'), source);
    await promisify(execFile)('cc', ['-shared', '-fPIC', '-O1', '-o', library, source, '-ldl']);
    const [row] = await path.oracle.target('show data_directory');
    await path.world.target.stop();
    await setTarget(0);
    target = await startPostgres({
      dataDir: String(row?.['data_directory']),
      superuserPassword: new SecretText('kept from its first start'),
      port: path.world.target.port,
      durable: false,
      environment: { LD_PRELOAD: library, MOVED_CLOCK_FILE: join(folder, 'target') },
    });
    await until('the target is back', 10, async () => {
      return (await clocksOf(right)).some(({ part, ok }) => part === 'target' && ok);
    });
  }, 60_000);

  afterEach(() => setTarget(0));

  afterAll(async () => {
    await target?.stop();
    await path.world.target.start();
  }, 60_000);

  async function setTarget(seconds: number): Promise<void> {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(seconds));
    // In place: the server has it mapped.
    await writeFile(join(folder, 'target'), bytes, { flag: seconds === 0 ? 'a+' : 'r+' });
    if (seconds === 0) await writeFile(join(folder, 'target'), bytes, { flag: 'r+' });
  }

  test.each([-300, 300])('%i s off: measured and alarmed', async (seconds) => {
    await setTarget(seconds);
    expect(await skewOf(right, 'target')).toBeCloseTo(seconds, 0);
    expect(await clocksOf(right)).toContainEqual(
      expect.objectContaining({ part: 'target', ok: false }),
    );
  });

  test('ahead by 300 s: short lives are refused, long ones end early', async () => {
    const token = await goodToken();
    const grant = await granted(right.url, token, { identifier: 'long', ttl: 250 });
    const late = await lateness(grant);
    await setTarget(300);
    const answer = await exchange(right.url, token, { identifier: 'short', ttl: 120 });
    expect([answer.status, answer.body['error_reason']]).toEqual([503, 'mint_unknown']);
    expect(await late()).toBeLessThan(-200_000);
    await until('nothing of them lives', 10, async () => (await path.oracle.roles()).length === 0);
  }, 30_000);

  test('behind by 300 s: the ledger kills on time, though the name says that there is time', async () => {
    const grant = await granted(right.url, await goodToken(), { identifier: 'behind', ttl: 4 });
    const late = await lateness(grant);
    await setTarget(-300);
    expect(await late()).toBeLessThan(3_000);
  }, 30_000);
});

test('in the end everything is accounted for', async () => {
  // Next attempts that were written while the ledger was ahead lie in the future now.
  await setLedger(400);
  await allAccounted(path, 20);
}, 40_000);
