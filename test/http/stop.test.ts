import { afterEach, describe, expect, test } from '@jest/globals';
import { systemClock } from '../../src/foundation/clock.ts';
import { succeed } from '../../src/foundation/result.ts';
import { grant } from './support/examples.ts';
import { dial } from './support/raw-socket.ts';
import { FORM, serving, stopAll } from './support/serving.ts';

afterEach(stopAll);

const slowly = (ms: number) => ({
  exchange: async () => {
    await systemClock.sleep(ms);
    return succeed(grant);
  },
});

async function elapsed(work: () => Promise<unknown>): Promise<number> {
  const begun = systemClock.monotonicMs();
  await work();
  return systemClock.monotonicMs() - begun;
}

describe('stopping the server', () => {
  test('lets calls under way finish, and tells them to close', async () => {
    const { exchange, server } = await serving(slowly(300));
    const answer = exchange(FORM);
    await systemClock.sleep(100);
    const stopping = server.stop(5000);
    const response = await answer;
    expect(response.status).toBe(200);
    expect(response.headers.get('connection')).toBe('close');
    expect(await elapsed(() => stopping)).toBeLessThan(2000);
  });

  test('takes no new connection', async () => {
    const { exchange, server, url } = await serving(slowly(300));
    const answer = exchange(FORM);
    await systemClock.sleep(100);
    const stopping = server.stop(5000);
    await expect(fetch(`${url}/healthz`)).rejects.toThrow();
    await answer;
    await stopping;
  });

  test('closes idle connections at once', async () => {
    const { port, server } = await serving();
    const idle = dial(port, 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n');
    const silent = dial(port, '');
    await systemClock.sleep(100);
    expect(idle.heard()).toMatch(/^HTTP\/1.1 200 /);
    expect(await elapsed(() => server.stop(5000))).toBeLessThan(1000);
    await Promise.all([idle.closed, silent.closed]);
  });

  test('cuts what is left when the grace is over', async () => {
    const { exchange, server } = await serving(slowly(5000));
    const answer = exchange(FORM).catch(() => 'cut');
    await systemClock.sleep(100);
    expect(await elapsed(() => server.stop(300))).toBeLessThan(3000);
    expect(await answer).toBe('cut');
  });

  test('twice is fine', async () => {
    const { server } = await serving();
    await Promise.all([server.stop(100), server.stop(100)]);
    await server.stop(100);
  });
});
