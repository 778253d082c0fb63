import { describe, expect, test } from '@jest/globals';
import { declareTask } from '../../src/broker/declare-task.ts';

const DETAILS = {
  type: 'agent_task',
  task_type: 'reconcile-invoice',
  identifier: 'invoice-4711',
};

function reasonOf(details: unknown, urns: readonly string[] = []): string {
  const text = typeof details === 'string' ? details : JSON.stringify(details);
  const result = declareTask(text, urns);
  return result.ok ? 'ok' : result.failure.reason;
}

function fieldOf(details: unknown): string | undefined {
  const result = declareTask(JSON.stringify(details), []);
  return result.ok ? undefined : result.failure.field;
}

describe('declaring a task by authorization_details', () => {
  test('the smallest one leaves everything else to the task type', () => {
    expect(declareTask(JSON.stringify([DETAILS]), [])).toEqual({
      ok: true,
      value: {
        taskType: 'reconcile-invoice',
        identifier: 'invoice-4711',
        purpose: null,
        workflow: null,
        actions: null,
        locations: null,
        datatypes: null,
        parameters: {},
        delegation: null,
        maxTtlSeconds: null,
      },
    });
  });

  test('every member is read', () => {
    const result = declareTask(
      JSON.stringify([
        {
          ...DETAILS,
          purpose: 'Reconcile invoice 4711 – with the ledger',
          actions: ['read'],
          locations: ['https://db.example/orders'],
          datatypes: ['orders'],
          max_ttl: 300,
          workflow: 'month-end-2026-11',
          delegation: { max_depth: 1, max_children: 2 },
          parameters: { tenant: 'acme' },
        },
      ]),
      [],
    );
    expect(result).toMatchObject({
      ok: true,
      value: {
        purpose: 'Reconcile invoice 4711 – with the ledger',
        maxTtlSeconds: 300,
        delegation: { maxDepth: 1, maxChildren: 2 },
        parameters: { tenant: 'acme' },
      },
    });
  });

  test.each([
    ['not JSON', '[{', 'details_malformed'],
    ['an object instead of a list', DETAILS, 'details_malformed'],
    ['an empty list', [], 'details_malformed'],
    ['two tasks', [DETAILS, DETAILS], 'details_too_many'],
    ['another type', [{ ...DETAILS, type: 'payment' }], 'details_unsupported_type'],
    ['an unknown member', [{ ...DETAILS, admin: true }], 'details_unknown_member'],
    [
      'a member named like an inherited one',
      '[{"type":"agent_task","task_type":"a","identifier":"b","__proto__":{}}]',
      'details_unknown_member',
    ],
    [
      'a member that comes twice',
      '[{"type":"agent_task","task_type":"a","identifier":"b","identifier":"c"}]',
      'details_malformed',
    ],
    ['over 8 KiB', [{ ...DETAILS, purpose: 'x'.repeat(9000) }], 'details_malformed'],
  ])('%s is refused', (_what, details, reason) => {
    expect(reasonOf(details)).toBe(reason);
  });

  test.each([
    ['task_type', { task_type: 'Reconcile' }],
    ['task_type', { task_type: undefined }],
    ['identifier', { identifier: '' }],
    ['identifier', { identifier: 'a'.repeat(129) }],
    ['identifier', { identifier: 'invoice 4711' }],
    ['identifier', { identifier: 'invоice' }],
    ['identifier', { identifier: 'a\u0000b' }],
    ['identifier', { identifier: 'a\n' }],
    ['purpose', { purpose: 'line\nbreak' }],
    ['purpose', { purpose: 'left\u202eright' }],
    ['purpose', { purpose: 'zero\u200bwidth' }],
    ['purpose', { purpose: '\ud800' }],
    ['purpose', { purpose: ' ' }],
    ['purpose', { purpose: 'a filler \u3164' }],
    ['purpose', { purpose: 'x'.repeat(501) }],
    ['actions', { actions: [] }],
    ['actions', { actions: 'read' }],
    ['actions', { actions: ['read', 'read'] }],
    ['actions', { actions: Array.from({ length: 33 }, (_, i) => `a${i}`) }],
    ['locations', { locations: ['with space'] }],
    ['datatypes', { datatypes: [7] }],
    ['max_ttl', { max_ttl: 0 }],
    ['max_ttl', { max_ttl: 2 }],
    ['max_ttl', { max_ttl: 1.5 }],
    ['max_ttl', { max_ttl: '300' }],
    ['max_ttl', { max_ttl: 86_401 }],
    ['workflow', { workflow: '../x' }],
    ['delegation', { delegation: { depth: 1 } }],
    ['max_depth', { delegation: { max_depth: -1 } }],
    ['parameters', { parameters: ['tenant'] }],
    ['parameters', { parameters: { tenant: 1 } }],
    ['parameters', { parameters: { 'Bad Name': 'x' } }],
  ])('a bad %s is named', (field, member) => {
    expect(fieldOf([{ ...DETAILS, ...member }])).toBe(field);
  });
});

describe('declaring a task by URN', () => {
  test('gives type and identifier', () => {
    const result = declareTask(null, ['vault', 'urn:mayfly:task:write-report:r:7']);
    expect(result).toMatchObject({
      ok: true,
      value: { taskType: 'write-report', identifier: 'r:7' },
    });
  });

  test.each([
    [[], 'task_missing'],
    [['https://db.example'], 'task_missing'],
    [['urn:mayfly:task:write-report'], 'task_urn_invalid'],
    [['urn:mayfly:task::x'], 'task_urn_invalid'],
    [['urn:mayfly:task:write-report:a b'], 'task_urn_invalid'],
    [['urn:mayfly:task:a:b', 'urn:mayfly:task:a:c'], 'details_too_many'],
  ])('%j is refused', (urns, reason) => {
    const result = declareTask(null, urns);
    expect(result.ok ? 'ok' : result.failure.reason).toBe(reason);
  });
});
