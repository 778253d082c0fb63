import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import {
  BY_NAME_GRACE_MS,
  MINT_WAIT_MS,
  SETTLINGS_AT_A_TIME,
  TELL_FOR_MS,
} from '../../src/broker/margins.ts';
import type { BrokerParts } from '../../src/broker/parts.ts';
import type { Agent } from '../../src/catalogue/agent.ts';
import type { Catalogue } from '../../src/catalogue/catalogue.ts';
import type { BrokerProcess } from '../../src/commands/demo/world.ts';
import type { SecretText } from '../../src/foundation/secret-text.ts';
import { exchangeJson } from '../../src/http/exchange-json.ts';
import { LedgerUnreachable } from '../../src/ledger/ledger.ts';
import type { EndLease, Ledger } from '../../src/ledger/ledger.ts';
import type { Lease } from '../../src/ledger/lease.ts';
import type { TargetAccess } from '../../src/target/target-access.ts';
import { leasesOf } from './support/accounts.ts';
import { canLogin, complete, exchange, grantOf, granted, until } from './support/agent.ts';
import { isMint, startHttpBetween } from './support/http-between.ts';
import type { HttpBetween } from './support/http-between.ts';
import { movedClock } from './support/moved-clock.ts';
import { ownBroker } from './support/own-broker.ts';
import type { OwnBroker } from './support/own-broker.ts';
import type { PathWorld } from './support/path-world.ts';
import { startPathWorld } from './support/path-world.ts';
import { scaled } from './support/scale.ts';
import { startTcpProxy } from './support/tcp-proxy.ts';
import type { TcpProxy } from './support/tcp-proxy.ts';

let path: PathWorld;
let one: BrokerProcess;
let other: BrokerProcess;
let held: BrokerProcess;
let wire: TcpProxy;
let token: string;

beforeAll(async () => {
  path = await startPathWorld();
  wire = await startTcpProxy('127.0.0.1', path.world.backend.port);
  [one, other, held] = await Promise.all([
    path.broker(),
    path.broker(),
    path.broker({ settings: { MAYFLY_BACKEND_URL: `http://127.0.0.1:${wire.port}` } }),
  ]);
  token = await path.token();
}, 60_000);

afterAll(async () => {
  held?.kill('SIGCONT');
  await wire?.close();
  await path?.stop();
}, 60_000);

/** Roles and open sessions whose leases belong to one of these tasks. */
async function livingOf(tasks: readonly string[]): Promise<readonly string[]> {
  const names = await path.oracle.ledger(
    'select credential_name from mayfly.lease where task_id = any($1::uuid[])',
    [tasks],
  );
  const living = await path.oracle.target(
    `select rolname from pg_roles where rolname = any($1::text[]) and rolcanlogin
     union select usename from pg_stat_activity where usename = any($1::text[])`,
    [names.map((row) => row['credential_name'])],
  );
  return living.map((row) => String(row['rolname']));
}

test('an exchange at one broker and the completion at another 0 to 15 ms later', async () => {
  const rounds = scaled(300);
  const uris: string[] = [];
  const tasks: string[] = [];
  let refused = 0;
  for (let round = 0; round < rounds; round++) {
    const first = await granted(one.url, token, { identifier: `race-${round}`, ttl: 120 });
    const second = exchange(one.url, token, { identifier: `race-${round}`, ttl: 120 });
    await new Promise((resolve) => setTimeout(resolve, round % 16));
    const done = await complete(other.url, token, first.taskId);
    expect(done.status).toBe(200);
    uris.push(first.uri);
    tasks.push(first.taskId);
    const late = await second;
    if (late.status === 200) uris.push(grantOf(late).uri);
    else refused += 1;
  }
  await new Promise((resolve) => setTimeout(resolve, 2000));
  expect(await livingOf(tasks)).toEqual([]);
  for (const uri of uris) expect(await canLogin(uri)).toBe(false);
  console.log(`race: ${rounds} rounds, second exchange refused in ${refused}`);
}, 240_000);

test('a broker stopped between commit and mint for 40 s mints nothing that lives', async () => {
  const times = scaled(20);
  // The mint's request is held on the wire until the broker that sent it is stopped: the commit is
  // done, the mint is not, and it goes out only when the broker runs again.
  const firsts = await Promise.all(
    Array.from({ length: times }, (_, n) =>
      granted(one.url, token, { identifier: `stopped-${n}`, ttl: 120 }),
    ),
  );
  let tokens = 0;
  let release: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => (release = resolve));
  wire.onAnswer = async (text) => {
    // The answer to a token creation: the last thing that a mint waits for.
    if (text.includes('"client_token"')) {
      tokens += 1;
      await gate;
    }
  };
  const seconds = firsts.map((_, n) =>
    exchange(held.url, token, { identifier: `stopped-${n}`, ttl: 120 }).catch(() => undefined),
  );
  await until('all leases committed', 10, async () => {
    const rows = await path.oracle.ledger(
      `select count(*)::int as n from mayfly.lease
       where state = 'minting' and task_id = any($1::uuid[])`,
      [firsts.map((grant) => grant.taskId)],
    );
    return rows[0]?.['n'] === times && tokens >= times;
  });
  held.kill('SIGSTOP');
  release();
  wire.onAnswer = () => undefined;
  const completions = await Promise.all(
    firsts.map((grant) => complete(other.url, token, grant.taskId)),
  );
  expect(completions.map(({ status }) => status)).toEqual(firsts.map(() => 200));
  const tasks = firsts.map((grant) => grant.taskId);
  await new Promise((resolve) => setTimeout(resolve, 2000));
  expect(await livingOf(tasks)).toEqual([]);
  await new Promise((resolve) => setTimeout(resolve, 38_000));
  held.kill('SIGCONT');
  const answers = await Promise.all(seconds);
  expect(answers.filter((answer) => answer?.status === 200)).toEqual([]);
  // And never again after: the mints that the thawed broker may still send find closed names.
  for (let look = 0; look < 20; look++) {
    expect(await livingOf(tasks)).toEqual([]);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  for (const grant of firsts) expect(await canLogin(grant.uri)).toBe(false);
}, 120_000);

test('a mint that is under way at OpenBao when its task is completed leaves nobody alive', async () => {
  const rounds = scaled(100);
  const tasks: string[] = [];
  for (let round = 0; round < rounds; round++) {
    const first = await granted(one.url, token, { identifier: `under-${round}`, ttl: 120 });
    tasks.push(first.taskId);
    let sent: () => void = () => undefined;
    const mintSent = new Promise<void>((resolve) => (sent = resolve));
    wire.onRequest = (text) => {
      if (text.includes('/creds/')) sent();
    };
    const second = exchange(held.url, token, { identifier: `under-${round}`, ttl: 120 });
    await mintSent;
    await new Promise((resolve) => setTimeout(resolve, round % 10));
    const done = await complete(other.url, token, first.taskId);
    expect(done.status).toBe(200);
    const late = await second;
    if (late.status === 200) expect(await canLogin(grantOf(late).uri)).toBe(false);
  }
  wire.onRequest = () => undefined;
  await new Promise((resolve) => setTimeout(resolve, 2000));
  expect(await livingOf(tasks)).toEqual([]);
}, 120_000);

type How = Parameters<typeof ownBroker> extends [unknown, ...infer Rest] ? Rest : never;

describe('inside one broker', () => {
  const open: OwnBroker[] = [];
  let bao: HttpBetween;

  const own = async (...how: How) => {
    const made = await ownBroker(path, ...how);
    open.push(made);
    return made;
  };
  let vanishing: Lease;

  // Nobody else sweeps here, and a lease of 4 s must be left to the one test that is about it.
  beforeAll(async () => {
    await Promise.all([one, other, held].map((broker) => broker.stop()));
    bao = await startHttpBetween('127.0.0.1', path.world.backend.port);
    vanishing = (await (await own()).granted({ identifier: 'both-halves', ttl: 4 })).lease;
  });

  afterEach(async () => {
    bao.pass();
    await Promise.all(open.splice(0).map((broker) => broker.close()));
  });

  afterAll(async () => {
    await bao?.down();
  });

  test('guard and prover frozen in their sessions: the caller waits no longer than it said', async () => {
    const broker = await own();
    const { task, lease } = await broker.granted({ identifier: 'frozen', ttl: 120 });
    const backends = await path.oracle.target(
      "select pid from pg_stat_activity where usename in ('mayfly_guard', 'mayfly_prover')",
    );
    const signal = (name: NodeJS.Signals) => {
      for (const { pid } of backends) process.kill(Number(pid), name);
    };
    expect(backends.length).toBeGreaterThanOrEqual(2);
    signal('SIGSTOP');
    try {
      const started = performance.now();
      const ended = await broker.complete(task.id, 0.5);
      expect(performance.now() - started).toBeLessThan(2_000);
      expect(ended).toMatchObject({ ok: true, value: { allDead: false } });
    } finally {
      signal('SIGCONT');
    }
    await until('dead', 5, async () => !(await path.oracle.roleExists(lease.credentialName)));
  });

  test('a mint that activates after nobody could be told that it was given up is ended', async () => {
    const clock = movedClock();
    let ledgerHears = false;
    const fence = ({ ledger }: BrokerParts) => ({
      ledger: {
        ...ledger,
        endLease: (end: EndLease) =>
          ledgerHears ? ledger.endLease(end) : Promise.reject(new LedgerUnreachable('lost')),
      },
    });
    const broker = await own(fence, { clock, backendUrl: bao.url });
    let minted: () => void = () => undefined;
    let release: () => void = () => undefined;
    const reached = new Promise<void>((resolve) => (minted = resolve));
    const gate = new Promise<void>((resolve) => (release = resolve));
    bao.decide = async (call, on) => {
      const reply = await on();
      if (isMint(call)) {
        minted();
        await gate;
      }
      return reply;
    };
    const answer = broker.exchange({ identifier: 'late-mint', ttl: 120 });
    await reached;
    clock.advance(MINT_WAIT_MS);
    expect(await answer).toMatchObject({ ok: false, failure: { reason: 'mint_unknown' } });
    // Longer than the ledger is tried to be told.
    for (let told = 0; told <= TELL_FOR_MS; told += TELL_FOR_MS / 2) {
      clock.advance(TELL_FOR_MS / 2);
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
    const state = async () => (await leasesOf(path, 'late-mint'))[0]?.state;
    expect(await state()).toBe('minting');
    ledgerHears = true;
    release();
    await until('settled', 5, async () => (await state()) === 'settled');
    expect((await leasesOf(path, 'late-mint'))[0]).toMatchObject({
      mint_outcome: 'minted',
      end_cause: 'mint_unknown',
    });
  });

  test('a task that another exchange opened just before this one had its turn bounds it', async () => {
    let first = true;
    const broker = await own(({ ledger }) => ({
      ledger: {
        ...ledger,
        openLease: async (...asked: Parameters<Ledger['openLease']>) => {
          if (first) {
            first = false;
            await broker.granted({ identifier: 'meanwhile', details: { max_ttl: 60 } });
          }
          return ledger.openLease(...asked);
        },
      },
    }));
    const late = await broker.granted({ identifier: 'meanwhile' });
    expect(first).toBe(false);
    // What was granted now, which is narrower than the task that is open, is what is said.
    expect(late.granted.maxTtlSeconds).toBeGreaterThan(60);
    const [shown] = exchangeJson(late).authorization_details as readonly { max_ttl: number }[];
    // A second may have begun between the two.
    expect([59, 60]).toContain(shown?.max_ttl);
    const narrow = await broker.granted({ identifier: 'meanwhile', details: { max_ttl: 30 } });
    expect(exchangeJson(narrow).authorization_details).toMatchObject([{ max_ttl: 30 }]);
    expect(late.expiresInSeconds).toBeLessThanOrEqual(60);
    expect(late.lease.deadline.getTime()).toBeLessThanOrEqual(late.task.deadline.getTime());
  });

  test('a catalogue that came into force while the token was verified decides', async () => {
    let newer: Catalogue | undefined;
    const withAgent = (catalogue: Catalogue, edit: (agent: Agent) => Agent | undefined) => {
      const agents = new Map(catalogue.agents);
      const agent = edit(agents.get('invoice-reconciler') as Agent);
      if (agent) agents.set(agent.id, agent);
      else agents.delete('invoice-reconciler');
      return { ...catalogue, agents };
    };
    let edit: (agent: Agent) => Agent | undefined = () => undefined;
    const broker = await own(({ authenticator, catalogue }) => ({
      catalogue: { current: () => newer ?? catalogue.current() },
      authenticator: {
        ...authenticator,
        agent: async (shown: SecretText) => {
          const known = await authenticator.agent(shown);
          newer = withAgent(catalogue.current(), edit);
          return known;
        },
      },
    }));
    expect(await broker.exchange({ identifier: 'reloaded' })).toMatchObject({
      failure: { reason: 'unmapped_identity' },
    });
    edit = (agent) => ({ ...agent, ends: '2020-01-01' });
    expect(await broker.exchange({ identifier: 'reloaded' })).toMatchObject({
      failure: { reason: 'agent_ended' },
    });
  });

  test('skew is that between target and ledger, whatever clock the broker has', async () => {
    const broker = await own(undefined, { clock: movedClock(3_600_000) });
    const ready = await broker.broker.readiness();
    const skew = /clock skew (-?[\d.]+) s/.exec(ready.targets[0]?.detail ?? '')?.[1];
    expect(Math.abs(Number(skew))).toBeLessThan(1);
  });

  test('a user that both halves of a pass end at once has not risen from the dead', async () => {
    let endedByName: () => void = () => undefined;
    const byName = new Promise<void>((resolve) => (endedByName = resolve));
    let reported: (lease: Lease | null) => void = () => undefined;
    const looked = new Promise<Lease | null>((resolve) => (reported = resolve));
    const broker = await own(({ ledger, targets }) => ({
      ledger: {
        ...ledger,
        // The ledger's half begins when the name is ended, and is done when its end is reported.
        claimDue: async (...asked: Parameters<Ledger['claimDue']>) => {
          await byName;
          return ledger.claimDue(...asked);
        },
        leaseByName: async (name: string) => {
          await until('recorded', 5, async () => {
            const lease = await ledger.leaseByName(name);
            return lease !== null && /revoked|settled/.test(lease.state);
          });
          const lease = await ledger.leaseByName(name);
          reported(lease);
          return lease;
        },
      },
      targets: { ...targets, access: (name: string) => watched(targets.access(name)) },
    }));
    const watched = (access: TargetAccess | undefined): TargetAccess | undefined =>
      access && {
        ...access,
        guard: {
          ...access.guard,
          end: async (names: readonly string[]) => {
            const endings = await access.guard.end(names);
            endedByName();
            return endings;
          },
        },
      };
    const due = vanishing.deadline.getTime() + BY_NAME_GRACE_MS + 200 - Date.now();
    await new Promise((resolve) => setTimeout(resolve, due));
    const pass = await broker.broker.sweep();
    expect(pass.endedByName).toBe(1);
    expect((await looked)?.id).toBe(vanishing.id);
    await broker.parts.background.drain(5_000);
    expect(await broker.metric('mayfly_resurrected_total')).toBe(0);
  }, 30_000);

  test('settling asks an OpenBao that is away no more often than it asks at a time', async () => {
    const broker = await own(undefined, { backendUrl: bao.url });
    const leases = SETTLINGS_AT_A_TIME * 3;
    let taskId = '';
    for (let n = 0; n < leases; n++) {
      taskId = (await broker.granted({ identifier: 'many', ttl: 120 })).task.id;
    }
    const before = bao.calls.length;
    bao.decide = () => 'cut';
    const ended = await broker.complete(taskId, 10);
    expect(ended).toMatchObject({ ok: true, value: { allDead: true } });
    await broker.parts.background.drain(10_000);
    const asked = bao.calls.slice(before).map(({ path: called }) => called);
    expect(asked.length).toBeGreaterThan(0);
    expect(asked.length).toBeLessThanOrEqual(SETTLINGS_AT_A_TIME);
    bao.pass();
    await until('settled', 15, async () => {
      await broker.broker.sweep();
      return (await leasesOf(path, 'many')).every(({ state }) => state === 'settled');
    });
  }, 30_000);
});
