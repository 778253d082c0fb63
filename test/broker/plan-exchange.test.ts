import { describe, expect, test } from '@jest/globals';
import type { Agent } from '../../src/catalogue/agent.ts';
import type { Scope } from '../../src/catalogue/scope.ts';
import type { Target } from '../../src/catalogue/target.ts';
import type { TaskType } from '../../src/catalogue/task-type.ts';
import type { Ask, AskedTask } from '../../src/broker/ask.ts';
import { planExchange } from '../../src/broker/plan-exchange.ts';
import { retryInMs } from '../../src/broker/backoff.ts';
import type { Task } from '../../src/ledger/lease.ts';
import type { ExchangeFacts } from '../../src/ledger/ledger.ts';

const NOW = new Date('2026-11-22T12:00:00.900Z');
const AGENT = {
  id: 'invoice-reconciler',
  ends: '2026-11-22',
  limits: { open_leases: 5, leases_per_minute: 10 },
} as Agent;
const TASK: AskedTask = {
  identifier: 'invoice-4711',
  purpose: null,
  workflow: null,
  actions: ['read'],
  locations: ['https://db.example/orders'],
  datatypes: ['orders'],
  parameters: {},
  delegation: null,
  maxTtlSeconds: 900,
};
const ASK: Ask = {
  scope: { name: 'orders-read', max_ttl_seconds: 600 } as Scope,
  taskType: { name: 'reconcile-invoice', max_ttl_seconds: 900 } as TaskType,
  target: { name: 'orders' } as Target,
  task: TASK,
};
const OPEN_TASK = {
  id: '01900000-0000-7000-8000-000000000001',
  taskType: 'reconcile-invoice',
  actions: ['read'],
  locations: ['https://db.example/orders'],
  datatypes: ['orders'],
  workflow: null,
  parameters: {},
  delegation: null,
  deadline: new Date('2026-11-22T12:01:00.000Z'),
  endedAt: null,
} as unknown as Task;
const FACTS: ExchangeFacts = {
  now: NOW,
  openLeases: 0,
  recentLeases: 0,
  task: null,
  earlier: null,
  quarantined: false,
  stops: [],
};

function plan(
  facts: Partial<ExchangeFacts> = {},
  wanted: number | null = null,
  ask: Partial<AskedTask> = {},
  agent: Partial<Agent> = {},
) {
  return planExchange({ ...AGENT, ...agent }, { ...ASK, task: { ...TASK, ...ask } }, wanted, {
    ...FACTS,
    ...facts,
  });
}

function reason(result: ReturnType<typeof plan>): string {
  return result.ok ? 'ok' : result.failure.reason;
}

describe('the life that is granted', () => {
  test('is the scope’s longest where nothing is shorter, from the whole second', () => {
    const result = plan();
    expect(result).toMatchObject({
      ok: true,
      value: { ttlSeconds: 600, deadline: new Date('2026-11-22T12:10:00.000Z'), openTask: null },
    });
  });

  test.each([
    ['what was asked for', {}, 5, {}, 5],
    ['the task’s own max_ttl', {}, null, { maxTtlSeconds: 60 }, 60],
    ['what is left of the open task', { task: OPEN_TASK }, 300, {}, 60],
    ['a max_ttl narrower than the open task', { task: OPEN_TASK }, null, { maxTtlSeconds: 30 }, 30],
  ])('is cut to %s', (_what, facts, wanted, ask, seconds) => {
    const result = plan(facts, wanted, ask);
    expect(result).toMatchObject({ ok: true, value: { ttlSeconds: seconds } });
  });

  test('never passes the open task’s deadline', () => {
    const result = plan({ task: OPEN_TASK });
    expect(result.ok && result.value.deadline <= OPEN_TASK.deadline).toBe(true);
  });

  test('shorter than three seconds is refused', () => {
    expect(reason(plan({}, 2))).toBe('parameter_invalid');
    expect(reason(plan({}, 3))).toBe('ok');
  });

  test('a task that is nearly over gives none', () => {
    const nearly = { ...OPEN_TASK, deadline: new Date('2026-11-22T12:00:02.000Z') };
    expect(reason(plan({ task: nearly }))).toBe('task_ended');
  });
});

describe('caps and ends', () => {
  test.each([
    [{ openLeases: 4 }, 'ok'],
    [{ openLeases: 5 }, 'limit_open_leases'],
    [{ recentLeases: 9 }, 'ok'],
    [{ recentLeases: 10 }, 'limit_rate'],
  ])('%j: %s', (facts, expected) => {
    expect(reason(plan(facts))).toBe(expected);
  });

  test('an agent may exchange on its last day and not after it', () => {
    expect(reason(plan({}, null, {}, { ends: '2026-11-22' }))).toBe('ok');
    expect(reason(plan({}, null, {}, { ends: '2026-11-21' }))).toBe('agent_ended');
  });
});

describe('an identifier that was used before', () => {
  const ended = (at: string) => ({ ...OPEN_TASK, endedAt: new Date(at) });

  test('joins the open task', () => {
    expect(plan({ task: OPEN_TASK })).toMatchObject({ ok: true, value: { openTask: OPEN_TASK } });
  });

  test.each([
    ['a second after its end', ended('2026-11-22T11:59:59.000Z'), 'task_ended'],
    ['just before 24 hours', ended('2026-11-21T12:00:01.000Z'), 'task_ended'],
    ['after 24 hours', ended('2026-11-21T12:00:00.900Z'), 'ok'],
    [
      'past its deadline though nobody marked it',
      { ...OPEN_TASK, deadline: new Date('2026-11-22T12:00:00.000Z') },
      'task_ended',
    ],
  ])('%s: %s', (_what, task, expected) => {
    expect(reason(plan({ task }))).toBe(expected);
  });

  test.each([
    ['actions', { actions: ['read', 'write'] }],
    ['locations', { locations: ['https://db.example/customers'] }],
    ['datatypes', { datatypes: undefined }],
    ['workflow', { workflow: 'month-end' }],
    ['parameters', { parameters: { tenant: 'acme' } }],
    ['delegation', { delegation: { maxDepth: 1, maxChildren: 0 } }],
  ])('with wider %s is refused', (field, ask) => {
    const result = plan({ task: OPEN_TASK }, null, ask);
    expect(result.ok ? undefined : [result.failure.reason, result.failure.field]).toEqual([
      'wider_than_open_task',
      field,
    ]);
  });

  test('of another task type is refused', () => {
    const other = { ...OPEN_TASK, taskType: 'write-report' };
    expect(reason(plan({ task: other }))).toBe('wider_than_open_task');
  });
});

test('retries double, are capped and keep their jitter in the upper half', () => {
  expect([0, 1, 2].map((n) => retryInMs(n, 0.999_999))).toEqual([200, 400, 800]);
  expect([0, 1, 2].map((n) => retryInMs(n, 0))).toEqual([100, 200, 400]);
  expect(retryInMs(1000, 0)).toBe(5_000);
  expect(retryInMs(1000, 0.999_999)).toBe(10_000);
});
