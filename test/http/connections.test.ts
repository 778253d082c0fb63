import { afterEach, describe, expect, test } from '@jest/globals';
import { systemClock } from '../../src/foundation/clock.ts';
import type { Clock } from '../../src/foundation/clock.ts';
import { succeed } from '../../src/foundation/result.ts';
import { LEASE_ID, TASK_ID, agentCaller, grant } from './support/examples.ts';
import { dial, head } from './support/raw-socket.ts';
import { FORM, asOperator, jsonOf, serving, stopAll } from './support/serving.ts';

afterEach(stopAll);

/** Time-outs of seconds in a twentieth of that. */
const hurried: Clock = {
  ...systemClock,
  sleep: (ms, signal) => systemClock.sleep(ms / 20, signal),
  alarm: (ms, ring) => systemClock.alarm(ms / 20, ring),
};

const form = new URLSearchParams(FORM).toString();

async function until(holds: () => boolean): Promise<void> {
  for (let turns = 0; turns < 200 && !holds(); turns++) await systemClock.sleep(10);
  expect(holds()).toBe(true);
}

async function counting() {
  let exchanges = 0;
  const served = await serving(
    {
      exchange: () => {
        exchanges++;
        return Promise.resolve(succeed(grant));
      },
    },
    { clock: hurried },
  );
  return { ...served, exchanges: () => exchanges };
}

describe('a body', () => {
  test('that comes too slowly is given up, and the connection closed', async () => {
    const { port, exchanges } = await counting();
    const { heard, closed } = dial(port, head(form.length) + form.slice(0, 20));
    await closed;
    expect(heard()).toMatch(/^HTTP\/1.1 408 /);
    expect(heard()).toMatch(/connection: close/i);
    expect(heard()).toContain('"error_reason":"body_incomplete"');
    expect(exchanges()).toBe(0);
  });

  test('that trickles in is given up all the same', async () => {
    const { port, exchanges } = await counting();
    const { socket, heard, closed } = dial(port, head(form.length));
    let sent = 0;
    const trickle = setInterval(() => socket.write(form[sent++] ?? ''), 50);
    await closed;
    clearInterval(trickle);
    expect(heard()).toContain('"error_reason":"body_incomplete"');
    expect(exchanges()).toBe(0);
  });

  test('that is cut is dropped, and the next request is served', async () => {
    const { port, exchange, exchanges, lines } = await counting();
    const { socket } = dial(port, head(form.length) + form.slice(0, 20));
    await systemClock.sleep(50);
    socket.destroy();
    await until(() => lines.join('').includes('body_incomplete'));
    expect(exchanges()).toBe(0);
    expect((await exchange(FORM)).status).toBe(200);
  });

  test('that is cut while the caller is being identified is noticed at once', async () => {
    const { port, lines } = await serving({
      authenticator: {
        agent: async () => {
          await systemClock.sleep(150);
          return succeed(agentCaller);
        },
        operator: () => Promise.reject(new Error('not asked')),
      },
    });
    const { socket } = dial(
      port,
      `POST /v1/tasks/${TASK_ID}/complete HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\n` +
        'Content-Type: application/json\r\nContent-Length: 99\r\n\r\n{',
    );
    await systemClock.sleep(50);
    socket.destroy();
    await until(() => lines.join('').includes('body_incomplete'));
  });

  test('that is announced as huge is refused before it comes', async () => {
    const { port, exchanges } = await counting();
    const { heard, closed } = dial(port, head(10_000_000_000) + form);
    await closed;
    expect(heard()).toMatch(/^HTTP\/1.1 413 /);
    expect(heard()).toContain('"error_reason":"body_too_large"');
    expect(exchanges()).toBe(0);
  });

  test('in chunks is bounded as any other', async () => {
    const { port, exchanges } = await counting();
    const chunk = `10000\r\n${'x'.repeat(0x10000)}\r\n`;
    const chunked = head(0).replace('Content-Length: 0', 'Transfer-Encoding: chunked');
    const { heard, closed } = dial(port, `${chunked}${chunk}${chunk}0\r\n\r\n`);
    await closed;
    expect(heard()).toMatch(/^HTTP\/1.1 413 /);
    expect(exchanges()).toBe(0);
  });

  test('with two lengths never reaches us', async () => {
    const { port, exchanges } = await counting();
    const { heard, closed } = dial(
      port,
      head(form.length, 'Transfer-Encoding: chunked\r\n') + form,
    );
    await closed;
    expect(heard()).toMatch(/^HTTP\/1.1 400 /);
    expect(exchanges()).toBe(0);
  });
});

describe('headers', () => {
  test('above the bound are refused', async () => {
    const { port } = await serving();
    const { heard, closed } = dial(port, head(0, `X-Padding: ${'x'.repeat(33 * 1024)}\r\n`));
    await closed;
    expect(heard()).toMatch(/^HTTP\/1.1 431 /);
  });

  test('may not hold two Authorization fields', async () => {
    const { port } = await serving();
    const two = `Authorization: ${asOperator.Authorization}\r\nAuthorization: Bearer other\r\n`;
    const { heard, closed } = dial(
      port,
      `GET /v1/leases HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${two}\r\n`,
    );
    await closed;
    expect(heard()).toMatch(/^HTTP\/1.1 401 /);
  });

  test.each(['', 'two words', 'x'.repeat(65), 'quote"', '../x'])(
    'an X-Request-Id that is not sane is replaced: %j',
    async (given) => {
      const { url } = await serving();
      const response = await fetch(`${url}/healthz`, { headers: { 'X-Request-Id': given } });
      expect(response.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
    },
  );
});

describe('a caller that leaves', () => {
  test('before its answer: the credential that nobody got is ended', async () => {
    const lost: string[] = [];
    let goOn: () => void = () => undefined;
    let asked = false;
    const { port, lines } = await serving({
      exchange: async () => {
        asked = true;
        await new Promise<void>((resolve) => (goOn = resolve));
        return succeed(grant);
      },
      answerLost: (leaseId) => {
        lost.push(leaseId);
        return Promise.resolve();
      },
    });
    const { socket } = dial(port, head(form.length) + form);
    await until(() => asked);
    socket.destroy();
    await systemClock.sleep(50);
    expect(lost).toEqual([]);
    goOn();
    await until(() => lost.length > 0);
    expect(lost).toEqual([LEASE_ID]);
    expect(lines.join('')).toContain('"delivery":"lost"');
    expect(lines.join('')).not.toContain('canary');
  });

  test('after its answer: nothing is ended', async () => {
    const lost: string[] = [];
    const { exchange } = await serving({
      answerLost: (leaseId) => {
        lost.push(leaseId);
        return Promise.resolve();
      },
    });
    await (await exchange(FORM)).text();
    await systemClock.sleep(100);
    expect(lost).toEqual([]);
  });

  test('and whose lease cannot be ended now: the log says so, the server goes on', async () => {
    const { port, exchange, lines } = await serving({
      exchange: async () => {
        await systemClock.sleep(100);
        return succeed(grant);
      },
      answerLost: () => Promise.reject(new Error('ledger away, canary')),
    });
    const { socket } = dial(port, head(form.length) + form);
    await systemClock.sleep(50);
    socket.destroy();
    await until(() => lines.join('').includes('could not clear up'));
    expect(lines.join('')).not.toContain('canary');
    expect((await exchange(FORM)).status).toBe(200);
  });
});

describe('the limit on requests', () => {
  const few = { limits: () => ({ requests_per_minute: 2 }) };

  test('refuses in the face of each endpoint, with when to come back', async () => {
    const { url, exchange } = await serving({}, few);
    await exchange(FORM);
    await fetch(`${url}/v1/leases`, { headers: asOperator });
    const third = await exchange(FORM);
    expect(third.status).toBe(429);
    expect(third.headers.get('retry-after')).toBe('60');
    expect(await jsonOf(third)).toMatchObject({
      error: 'temporarily_unavailable',
      error_reason: 'too_many_requests',
    });
    const fourth = await fetch(`${url}/v1/leases`, { headers: asOperator });
    expect(fourth.status).toBe(429);
    expect(await jsonOf(fourth)).toMatchObject({ reason: 'too_many_requests' });
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
  });

  test('believes X-Forwarded-For only from a proxy that is trusted', async () => {
    const from = (address: string) => ({ headers: { 'X-Forwarded-For': address } });
    const open = await serving({}, few);
    for (const last of [1, 2]) await open.exchange(FORM, from(`192.0.2.${last}`));
    expect((await open.exchange(FORM, from('192.0.2.3'))).status).toBe(429);
    const behind = await serving({}, { ...few, trustProxy: ['127.0.0.1'] });
    for (const last of [1, 2]) await behind.exchange(FORM, from(`192.0.2.${last}`));
    expect((await behind.exchange(FORM, from('192.0.2.3'))).status).toBe(200);
  });
});
