import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdir, open, readFile, writeFile } from 'node:fs/promises';
import { createServer, connect } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { join } from 'node:path';
import { freePort } from '../../src/embedded/loopback-port.ts';

/** A raft node on loopback beside the first one, which `startOpenBao` made. */
export type BaoNode = {
  readonly address: string;
  readonly port: number;
  kill(signal: NodeJS.Signals): Promise<void>;
  start(): Promise<void>;
};

/** The status of `sys/health`: 200 the active node, 429 a standby, 503 sealed, 0 nobody there. */
export async function healthOf(address: string): Promise<number> {
  const answer = await fetch(`${address}/v1/sys/health`, {
    signal: AbortSignal.timeout(1000),
  }).catch(() => undefined);
  await answer?.arrayBuffer();
  return answer?.status ?? 0;
}

/**
 * Joins another node to the cluster of the OpenBao in `firstFolder`; resolves when it is a standby.
 */
export async function joinNode(
  bao: string,
  firstFolder: string,
  firstAddress: string,
  folder: string,
): Promise<BaoNode> {
  const [port, clusterPort] = [await freePort(), await freePort()];
  const address = `http://127.0.0.1:${port}`;
  await mkdir(join(folder, 'raft'), { recursive: true, mode: 0o700 });
  const first = await readFile(join(firstFolder, 'openbao.hcl'), 'utf8');
  const configuration = first
    .slice(0, first.indexOf('initialize "'))
    .replace(/path\s+= ".*"/, `path = "${join(folder, 'raft')}"`)
    .replace(
      /node_id = .*/,
      `node_id = "${port}"\n  retry_join {\n    leader_api_addr = "${firstAddress}"\n  }`,
    )
    .replace(/(\n\s+address\s+=) ".*"/, `$1 "127.0.0.1:${port}"`)
    .replace(/(\n\s+cluster_address\s+=) ".*"/, `$1 "127.0.0.1:${clusterPort}"`)
    .replace(/(\napi_addr\s+=) ".*"/, `$1 "${address}"`)
    .replace(/(\ncluster_addr\s+=) ".*"/, `$1 "https://127.0.0.1:${clusterPort}"`);
  await writeFile(join(folder, 'openbao.hcl'), configuration, { mode: 0o600 });
  const node = nodeIn(bao, folder, address, port);
  await node.start();
  return node;
}

/** A node whose configuration lies in `folder`; not started. */
export function nodeIn(bao: string, folder: string, address: string, port: number): BaoNode {
  let child: ChildProcess | undefined;
  return {
    address,
    port,
    kill: async (signal) => {
      if (child?.exitCode !== null || child.signalCode !== null) return;
      const gone = new Promise((resolve) => child?.once('exit', resolve));
      child.kill(signal);
      await gone;
    },
    start: async () => {
      const log = await open(join(folder, 'openbao.log'), 'a', 0o600);
      child = spawn(bao, ['server', `-config=${join(folder, 'openbao.hcl')}`], {
        cwd: folder,
        env: { PATH: '/usr/bin:/bin' },
        stdio: ['ignore', log.fd, log.fd],
      });
      await log.close();
      const end = Date.now() + 20_000;
      while (![200, 429].includes(await healthOf(address))) {
        if (Date.now() > end) throw new Error(await readFile(join(folder, 'openbao.log'), 'utf8'));
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    },
  };
}

/** What users put before a cluster: a TCP balancer that asks each node whether it is the active one. */
export type Balancer = {
  readonly url: string;
  active(): string | undefined;
  close(): Promise<void>;
};

export async function startBalancer(addresses: readonly string[]): Promise<Balancer> {
  let active: string | undefined;
  const sockets = new Map<Socket, string>();
  const look = async () => {
    const states = await Promise.all(addresses.map((address) => healthOf(address)));
    const now = addresses.find((_, index) => states[index] === 200);
    active = now;
    // Connections to a node that is not the active one any more are cut, as with HAProxy's
    // "on-marked-down shutdown-sessions".
    for (const [socket, to] of sockets) if (now !== undefined && to !== now) socket.destroy();
  };
  await look();
  const timer = setInterval(() => void look(), 100);
  const server = createServer((client) => {
    const to = active;
    client.on('error', () => undefined);
    if (to === undefined) {
      client.destroy();
      return;
    }
    const upstream = connect(Number(new URL(to).port), '127.0.0.1');
    upstream.on('error', () => undefined);
    sockets.set(upstream, to);
    upstream.on('close', () => {
      sockets.delete(upstream);
      client.destroy();
    });
    client.on('close', () => upstream.destroy());
    client.pipe(upstream);
    upstream.pipe(client);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    active: () => active,
    close: () => {
      clearInterval(timer);
      for (const socket of sockets.keys()) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
