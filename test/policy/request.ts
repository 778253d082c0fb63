import { Agent } from '../../src/catalogue/agent.ts';
import { Scope } from '../../src/catalogue/scope.ts';
import { TaskType } from '../../src/catalogue/task-type.ts';
import { compilePolicies } from '../../src/policy/compile.ts';
import type { DecisionRequest, PolicyEngine } from '../../src/policy/decision.ts';

const agent = Agent.parse({
  id: 'reader',
  owner: 'reading team',
  ends: '2099-12-31',
  environment: 'test',
  exposure: 'internal',
  tier: 'standard',
  groups: ['readers'],
  task_types: ['look'],
  scopes: ['books-read'],
  limits: { open_leases: 5, leases_per_minute: 60 },
  identity: { issuer: 'idp', subject: 'reader' },
});

const scope = Scope.parse({
  name: 'books-read',
  description: 'Read books',
  owner: 'library team',
  kind: 'database',
  groups: ['books'],
  target: 'library',
  group: 'readers',
  backend_role: 'books-read',
  grants: { actions: ['read'], locations: ['https://db.example/books'] },
  max_ttl_seconds: 600,
  risk: 'low',
  sensitivity: 'internal',
  revocability: 'proven',
  proof: 'target',
});

const taskType = TaskType.parse({
  name: 'look',
  description: 'Look something up',
  owner: 'reading team',
  ceiling: { actions: ['read'], locations: ['https://db.example/books'] },
  scopes: ['books-read'],
  max_ttl_seconds: 900,
  risk: 'low',
  acceptable_use: 'Looking up.',
  escalation: 'reading on call',
});

/** A request that the policies of a test can be asked about: Sunday 2026-11-22, 17:30 UTC. */
export function requestOf(more: Partial<DecisionRequest> = {}): DecisionRequest {
  return {
    action: 'exchange',
    agent,
    scope,
    taskType,
    task: { actions: ['read'], locations: ['https://db.example/books'] },
    ttlSeconds: 300,
    openLeases: 0,
    recentLeases: 0,
    chainDepth: 0,
    claims: {},
    now: new Date('2026-11-22T17:30:00.123Z'),
    ...more,
  };
}

/** Compiles policy texts; their files are named by their places in the list. */
export function engineOf(...texts: string[]): PolicyEngine {
  const compiled = compilePolicies(texts.map((text, index) => ({ file: `${index}.cedar`, text })));
  if (!compiled.ok) throw new Error(JSON.stringify(compiled.problems));
  return compiled.engine;
}
