import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { BrokerProcess } from '../../src/commands/demo/world.ts';
import { baoProgram } from '../mint/support/world.ts';
import { healthOf, joinNode, nodeIn, startBalancer } from '../support/bao-cluster.ts';
import type { Balancer, BaoNode } from '../support/bao-cluster.ts';
import { allAccounted, leasesOf } from './support/accounts.ts';
import { canLogin, complete, exchange, granted, until } from './support/agent.ts';
import type { Answer } from './support/agent.ts';
import { startPathWorld } from './support/path-world.ts';
import type { PathWorld } from './support/path-world.ts';
import { PROVE } from './support/scale.ts';

const proven = PROVE ? describe : describe.skip;

proven('three OpenBao nodes', () => {
  let path: PathWorld;
  let balancer: Balancer;
  let nodes: BaoNode[];
  /** Its address leads to the active node, as a balancer does. */
  let behind: BrokerProcess;
  /** Its address is that of a standby. */
  let astray: BrokerProcess;
  let token: string;

  beforeAll(async () => {
    path = await startPathWorld();
    const bao = await baoProgram();
    const { backend, folder } = path.world;
    const first = join(folder, 'openbao');
    nodes = [nodeIn(bao, first, backend.address, backend.port)];
    for (const name of ['node-2', 'node-3']) {
      nodes.push(await joinNode(bao, first, backend.address, join(folder, name)));
    }
    // A node has no vote until it was healthy for ten seconds: without three votes none may be missing.
    await until('each node has a vote', 30, async () => (await voters(backend.address)) === 3);
    balancer = await startBalancer(nodes.map(({ address }) => address));
    behind = await path.broker({ settings: { MAYFLY_BACKEND_URL: balancer.url } });
    astray = await path.broker({
      settings: { MAYFLY_BACKEND_URL: nodes[1]?.address ?? '', MAYFLY_SWEEP: 'off' },
    });
    token = await path.token();
  }, 120_000);

  afterAll(async () => {
    for (const node of nodes ?? []) await node.kill('SIGKILL').catch(() => undefined);
    await path?.stop();
    await balancer?.close();
  }, 60_000);

  /** The leases that a node lists. */
  async function listed(address: string): Promise<readonly string[]> {
    const admin = (await adminToken(address)) ?? '';
    const path = 'v1/sys/leases/lookup/mayfly-orders/creds/orders-read/?list=true';
    const answer = await fetch(`${address}/${path}`, { headers: { 'x-vault-token': admin } });
    const body = (await answer.json()) as { data?: { keys?: string[] } };
    return body.data?.keys ?? [];
  }

  async function voters(address: string): Promise<number> {
    const answer = await fetch(`${address}/v1/sys/storage/raft/configuration`, {
      headers: { 'x-vault-token': (await adminToken(address)) ?? '' },
    });
    type Configuration = { data?: { config: { servers: readonly { voter: boolean }[] } } };
    const { data } = (await answer.json()) as Configuration;
    return data?.config.servers.filter(({ voter }) => voter).length ?? 0;
  }

  async function adminToken(address: string): Promise<string | undefined> {
    const password = (await readFile(path.world.admin.files.backendPassword, 'utf8')).trim();
    const answer = await fetch(`${address}/v1/auth/userpass/login/administrator`, {
      method: 'POST',
      body: JSON.stringify({ password }),
    });
    const body = (await answer.json()) as { auth?: { client_token: string } };
    return body.auth?.client_token;
  }

  test('F-REV-13: what is asked of a standby is done, and not only said to be', async () => {
    for (let round = 0; round < 20; round++) {
      const identifier = `standby-${round}`;
      const grant = await granted(astray.url, token, { identifier, ttl: 120 });
      expect((await complete(astray.url, token, grant.taskId)).status).toBe(200);
      await until('settled', 10, async () => {
        return (await leasesOf(path, identifier))[0]?.state === 'settled';
      });
      const [lease] = await leasesOf(path, identifier);
      const id = String(lease?.backend_lease_id).split('/').at(-1) ?? '';
      expect(await listed(balancer.active() ?? '')).not.toContain(id);
    }
  }, 60_000);

  const faults: readonly [string, (active: BaoNode) => Promise<void>][] = [
    [
      'steps down',
      async ({ address }) => {
        await fetch(`${address}/v1/sys/step-down`, {
          method: 'PUT',
          headers: { 'x-vault-token': (await adminToken(address)) ?? '' },
        });
      },
    ],
    [
      'is sealed',
      async ({ address }) => {
        await fetch(`${address}/v1/sys/seal`, {
          method: 'PUT',
          headers: { 'x-vault-token': (await adminToken(address)) ?? '' },
        });
      },
    ],
    [
      'is killed',
      async (active) => {
        if (active === nodes[0]) path.world.backend.kill('SIGKILL');
        else await active.kill('SIGKILL');
      },
    ],
  ];

  test.each(faults)(
    'F-REV-1: the active node %s under load',
    async (what, fault) => {
      const name = what.replaceAll(' ', '-');
      const kept = await granted(behind.url, token, { identifier: `kept-${name}`, ttl: 250 });
      const answers: string[] = [];
      let stop = false;
      const loads = Array.from({ length: 4 }, async (_, lane) => {
        for (let round = 0; !stop; round++) {
          const identifier = `load-${name}-${lane}-${round}`;
          const answer = await exchange(behind.url, token, { identifier, ttl: 60 });
          answers.push(wordOf(answer));
          if (answer.status !== 200) continue;
          const done = await complete(behind.url, token, String(answer.body['task_id']));
          expect(done.status).toBe(200);
        }
      });
      await new Promise((resolve) => setTimeout(resolve, 1000));
      const active = nodes.find(({ address }) => address === balancer.active());
      if (!active) throw new Error('no active node');
      const began = performance.now();
      await fault(active);
      await until('another is active', 30, async () => {
        const now = balancer.active();
        return (
          now !== undefined &&
          (await healthOf(now)) === 200 &&
          (what === 'steps down' || now !== active.address)
        );
      });
      const from = answers.length;
      await until('exchanges are granted again', 30, () =>
        answers.slice(from).includes('200 granted'),
      );
      console.log(
        what,
        `granted again after ${((performance.now() - began) / 1000).toFixed(1)} s`,
        tally(answers),
      );
      stop = true;
      await Promise.all(loads);
      expect(answers.filter((answer) => !/^(200|503) /.test(answer))).toEqual([]);
      // Nothing died with the node or with our tokens.
      expect(await canLogin(kept.uri)).toBe(true);
      expect((await complete(behind.url, token, kept.taskId)).status).toBe(200);
      await allAccounted(path, 60);
      if (what === 'is sealed') {
        // Its key is at hand: it unseals itself when it is started again.
        if (active === nodes[0]) await path.world.backend.stop();
        else await active.kill('SIGTERM');
        await active.start();
      }
    },
    180_000,
  );
});

function wordOf({ status, body }: Answer): string {
  const reason = body['error_reason'];
  return `${status} ${typeof reason === 'string' ? reason : 'granted'}`;
}

function tally(answers: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const answer of answers) counts[answer] = (counts[answer] ?? 0) + 1;
  return counts;
}

proven('an audit device that takes nothing any more', () => {
  let path: PathWorld;
  let broker: BrokerProcess;
  let reader: ChildProcess;

  beforeAll(async () => {
    path = await startPathWorld();
    await path.world.backend.stop();
    const audit = path.world.backend.auditLog;
    await rm(audit);
    await promisify(execFile)('mkfifo', ['-m', '600', audit]);
    reader = spawn('cat', [audit], { stdio: 'ignore' });
    await path.world.backend.start();
    broker = await path.broker();
  }, 90_000);

  afterAll(async () => {
    reader?.kill('SIGCONT');
    path?.world.backend.kill('SIGKILL');
    reader?.kill('SIGKILL');
    await path?.stop();
  }, 60_000);

  test('OpenBao hangs: exchanges fail closed in time, deaths go on, and it all catches up', async () => {
    const token = await path.token();
    const kept = await granted(broker.url, token, { identifier: 'kept', ttl: 250 });
    reader.kill('SIGSTOP');
    // The pipe takes 64 KiB before it blocks.
    const answers: string[] = [];
    await until('it blocks', 60, async () => {
      const began = performance.now();
      const answer = await exchange(broker.url, token, {
        identifier: `x-${answers.length}`,
        ttl: 30,
      });
      answers.push(wordOf(answer));
      expect((performance.now() - began) / 1000).toBeLessThan(12);
      return answer.status === 503;
    });
    console.log('audit blocked', tally(answers));
    expect((await complete(broker.url, token, kept.taskId)).status).toBe(200);
    expect(await canLogin(kept.uri)).toBe(false);
    reader.kill('SIGCONT');
    await until('granted again', 30, async () => {
      return (await exchange(broker.url, token, { identifier: 'again', ttl: 5 })).status === 200;
    });
    await allAccounted(path, 60);
  }, 180_000);
});
