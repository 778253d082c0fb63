import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { Server } from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import { systemClock } from '../../src/foundation/clock.ts';
import type { Clock } from '../../src/foundation/clock.ts';
import { SERVER_BOUNDS } from '../../src/http/server-bounds.ts';
import { dial } from './support/raw-socket.ts';
import { serving, stopAll } from './support/serving.ts';

afterEach(stopAll);

/** The system's clock, but for alarms of one length, which ring when they are told to. */
function ringing(lengthMs: number) {
  const pending = new Set<() => void>();
  const clock: Clock = {
    ...systemClock,
    alarm: (ms, ring) => {
      if (ms !== lengthMs) return systemClock.alarm(ms, ring);
      pending.add(ring);
      return () => pending.delete(ring);
    },
  };
  const ring = () => {
    const due = [...pending];
    pending.clear();
    for (const one of due) one();
  };
  return { clock, pending, ring };
}

/** The server behind a port, once it has answered one request on a connection that stays open. */
async function serverBehind(port: number): Promise<Server> {
  const channel = 'http.server.request.start';
  const found = new Promise<Server>((resolve) => {
    const note = (message: unknown) => {
      unsubscribe(channel, note);
      resolve((message as { server: Server }).server);
    };
    subscribe(channel, note);
  });
  const { socket } = dial(port, 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n');
  await new Promise((resolve) => socket.once('data', resolve));
  return found;
}

/** A server that is full with the one connection that it has. */
async function full() {
  const alarms = ringing(SERVER_BOUNDS.dropsLoggedEveryMs);
  const served = await serving({}, { clock: alarms.clock });
  const server = await serverBehind(served.port);
  expect(server.maxConnections).toBe(SERVER_BOUNDS.connections);
  server.maxConnections = 1;
  const drop = async (count: number) => {
    for (let each = 0; each < count; each++) await dial(served.port, '').closed;
  };
  const logged = () =>
    served.lines
      .map((line) => JSON.parse(line) as { msg: string; level: number; dropped?: number })
      .filter(({ msg }) => msg.startsWith('connections were dropped'))
      .map(({ level, dropped }) => [level, dropped]);
  return { ...served, ...alarms, drop, logged };
}

describe('connections above the bound', () => {
  test('are counted', async () => {
    const { drop, exposition } = await full();
    expect(await exposition()).toContain('mayfly_connections_dropped_total 0');
    await drop(3);
    expect(await exposition()).toContain('mayfly_connections_dropped_total 3');
  });

  test('are logged at once, and then all together once in a while', async () => {
    const { drop, ring, pending, logged } = await full();
    await drop(5);
    expect(logged()).toEqual([[40, 1]]);
    ring();
    expect(logged()).toEqual([
      [40, 1],
      [40, 4],
    ]);
    ring();
    expect(pending.size).toBe(0);
    await drop(1);
    expect(logged()).toHaveLength(3);
  });

  test('leave no alarm behind a server that stopped', async () => {
    const { drop, pending, server } = await full();
    await drop(1);
    expect(pending.size).toBe(1);
    await server.stop(0);
    expect(pending.size).toBe(0);
  });
});
