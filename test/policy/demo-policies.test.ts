import { describe, expect, test } from '@jest/globals';
import type { LoadedCatalogue } from '../../src/catalogue/load.ts';
import { compileCatalogue } from './compiled.ts';
import type { Decision } from '../../src/policy/decision.ts';
import { load, SOUND } from '../catalogue/edited-catalogue.ts';
import { requestOf } from './request.ts';

const { catalogue } = (await load(SOUND)) as LoadedCatalogue;
const compiled = compileCatalogue(catalogue);

function decide(agent: string, task: string, scope: string, ttlSeconds: number): Decision {
  if (!compiled.ok) throw new Error(JSON.stringify(compiled.problems));
  const taskType = catalogue.taskTypes.get(task);
  const parts = {
    agent: catalogue.agents.get(agent),
    scope: catalogue.scopes.get(scope),
    taskType,
  };
  if (!parts.agent || !parts.scope || !taskType) throw new Error('not in the catalogue');
  const { agent: who, scope: what } = parts;
  return compiled.value.decide(
    requestOf({ agent: who, scope: what, taskType, task: taskType.ceiling, ttlSeconds }),
  );
}

describe('the policies of this repository', () => {
  test.each([
    ['invoice-reconciler', 'reconcile-invoice', 'orders-read', 300, 'reconciler-reads-and-writes'],
    ['invoice-reconciler', 'reconcile-invoice', 'orders-write', 120, 'reconciler-reads-and-writes'],
    ['report-writer', 'write-report', 'orders-read', 600, 'reports-read'],
  ])('permit %s in %s %s for %i s', (agent, task, scope, ttl, by) => {
    expect(decide(agent, task, scope, ttl)).toMatchObject({ outcome: 'permit', policyIds: [by] });
  });

  test('deny writing for longer than two minutes, and say what to ask for', () => {
    const decision = decide('invoice-reconciler', 'reconcile-invoice', 'orders-write', 121);
    expect(decision).toMatchObject({ outcome: 'deny', policyIds: ['writing-is-short'] });
    expect(decision.reasons[0]).toContain('ask for ttl=120 or less');
  });

  test('deny an exposed agent what can write', () => {
    expect(decide('report-writer', 'write-report', 'orders-write', 60)).toMatchObject({
      outcome: 'deny',
      policyIds: ['exposed-agents-do-not-write'],
    });
  });

  test("deny a task type that is not the agent's", () => {
    expect(decide('report-writer', 'reconcile-invoice', 'orders-read', 60)).toMatchObject({
      outcome: 'deny',
      policyIds: [],
    });
  });
});
