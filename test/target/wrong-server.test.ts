import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { systemClock } from '../../src/foundation/clock.ts';
import { connectTarget } from '../../src/target/postgres/connect-target.ts';
import { rehearsal } from '../../src/target/postgres/rehearsal.ts';
import { TargetUnreachable } from '../../src/target/target-unreachable.ts';
import { judge } from '../../src/target/verdict.ts';
import { endAndJudge } from './support/expect-dead.ts';
import { PATIENCE_MS, eachRound } from './support/rounds.ts';
import {
  buildWorld,
  creation,
  ids,
  mint,
  secret,
  seen,
  startServer,
} from './support/target-world.ts';
import type { Server, World } from './support/target-world.ts';

const servers: Server[] = [];
let right: World;
let wrong: World;

beforeAll(async () => {
  servers.push(...(await Promise.all([startServer(18), startServer(18)])));
  const [one, two] = servers as [Server, Server];
  right = await buildWorld(one);
  wrong = await buildWorld(two);
}, 60_000);

afterAll(async () => {
  await Promise.all([right.close(), wrong.close()]);
  await Promise.all(servers.map((server) => server.stop()));
});

describe('wrong server', () => {
  test(
    'a prover at another server proves nothing, though it sees nothing',
    async () => {
      await eachRound(async () => {
        const { name } = await mint(right);
        const access = { guard: right.access.guard, prover: wrong.access.prover };
        expect(await endAndJudge({ access }, name)).toMatchObject({
          dead: true,
          revocability: 'revocable',
          lowered: 'prover_wrong_server',
        });
      });
    },
    PATIENCE_MS,
  );

  test('a naive check for the absence of the user is content there, with the user alive', async () => {
    const { name } = await mint(right);
    const [look] = await wrong.access.prover.look([{ name, oid: null }]);
    expect(look).toMatchObject({ roleExists: false, sessions: 0 });
    expect(await seen(right, name, null)).toMatchObject({ login: true });
    await right.access.guard.end([name]);
  });

  test(
    'a guard at another server has not ended what the backend made',
    async () => {
      await eachRound(async () => {
        const { name } = await mint(right);
        const verdict = await endAndJudge(wrong, name);
        expect(verdict).toMatchObject({ dead: false });
        expect(await seen(right, name, null)).toMatchObject({ login: true });
        await right.access.guard.end([name]);
      });
    },
    PATIENCE_MS,
  );

  test('a guard that knows its server refuses every other', async () => {
    const { name } = await mint(right);
    const [ending] = await right.access.guard.end([name]);
    const expectedServer = ending?.server ?? '';
    const access = await connectTarget({ ...wrong.config, expectedServer }, systemClock);
    await expect(access.guard.end([name])).rejects.toThrow(TargetUnreachable);
    await access.close();
  });

  test('a rehearsal finds it', async () => {
    const findings = await rehearsal(
      { guard: right.access.guard, prover: wrong.access.prover },
      right.plan.installation,
      'orders_read',
      async (name, group) => {
        await right.openbao.query(await creation(name, secret(), group));
      },
      systemClock,
      ids,
    );
    expect(findings.filter(({ ok }) => !ok).map(({ check }) => check)).toEqual([
      'prover_sees',
      'rehearsal_end',
    ]);
  });
});

describe('a planted live role', () => {
  test('of the same name at the right server is not proven dead until it is', async () => {
    const { name } = await mint(right);
    const [ending] = await right.access.guard.end([name]);
    if (ending === undefined) throw new Error('no answer');
    expect(ending).toMatchObject({ ended: true });
    await right.root.query(`create role "${name}" login; grant orders_read to "${name}"`);
    const [look] = await right.access.prover.look([{ name, oid: ending?.oid ?? null }]);
    expect(look).toMatchObject({ roleExists: true, canLogin: true });
    const asked = {
      declared: 'proven',
      seenOid: null,
      minted: true,
      backendSaid: null,
    } as const;
    expect(judge({ ending, look, ...asked })).toMatchObject({ dead: false });
    expect(await endAndJudge(right, name)).toMatchObject({ dead: true });
  });

  test('under another name, by its oid, is never proven dead', async () => {
    const { name } = await mint(right);
    const { rows } = await right.root.query<{ oid: number }>(
      'select oid::int from pg_roles where rolname = $1',
      [name],
    );
    await right.access.guard.now();
    await right.root.query(`alter role "${name}" rename to renamed`);
    const [look] = await right.access.prover.look([{ name, oid: rows[0]?.oid ?? null }]);
    expect(look).toMatchObject({ roleExists: true, canLogin: true });
    expect(await endAndJudge(right, name)).toMatchObject({ dead: false });
    await right.root.query(`alter role renamed rename to "${name}"`);
    expect(await endAndJudge(right, name)).toMatchObject({ dead: true, revocability: 'proven' });
  });
});
