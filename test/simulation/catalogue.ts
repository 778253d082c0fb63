import { Agent } from '../../src/catalogue/agent.ts';
import type { Catalogue } from '../../src/catalogue/catalogue.ts';
import { Limits } from '../../src/catalogue/limits.ts';
import { Scope } from '../../src/catalogue/scope.ts';
import { Target } from '../../src/catalogue/target.ts';
import { TaskType } from '../../src/catalogue/task-type.ts';

/** Of these, `legacy` has no guard: OpenBao alone ends its credentials. */
export const TARGETS = ['orders', 'billing', 'legacy'] as const;
export type TargetName = (typeof TARGETS)[number];

export const AGENTS = ['ledger-clerk', 'report-writer', 'auditor', 'janitor'] as const;

/** Leases that an agent may hold at a time: low, so that the cap is met. */
export const OPEN_LEASES = 12;

/** Seconds. */
export const SCOPES = [
  { name: 'orders-read', target: 'orders', maxTtl: 20 },
  { name: 'orders-write', target: 'orders', maxTtl: 45 },
  { name: 'billing-read', target: 'billing', maxTtl: 8 },
  { name: 'legacy-read', target: 'legacy', maxTtl: 30 },
] as const;

export const TASK_TTL_SECONDS = 60;
const LOCATION = 'https://db.internal.example/orders';
const OWNER = 'finance-platform team';

function byName<Item extends { readonly name: string }>(items: readonly Item[]) {
  return new Map(items.map((item) => [item.name, item]));
}

function target(name: TargetName): Target {
  const login = (role: string) => ({ username: role, secret: `${name.toUpperCase()}_LOGIN` });
  return Target.parse({
    name,
    owner: OWNER,
    kind: 'postgres',
    database: name,
    client: { host: `${name}.internal.example`, port: 5432, sslmode: 'verify-full' },
    backend: { mount: 'agents-db', config: name },
    admin: { username: 'openbao_admin' },
    groups: [`${name}_read`],
    ...(name === 'legacy' ? {} : { guard: login('guard'), prover: login('prover') }),
  });
}

function scope({ name, target: at, maxTtl }: (typeof SCOPES)[number]): Scope {
  return Scope.parse({
    name,
    description: 'Reads or writes',
    owner: OWNER,
    kind: 'database',
    target: at,
    group: `${at}_read`,
    backend_role: name,
    grants: { actions: ['read'], locations: [LOCATION] },
    max_ttl_seconds: maxTtl,
    risk: 'low',
    sensitivity: 'internal',
    revocability: at === 'legacy' ? 'revocable' : 'proven',
    proof: at === 'legacy' ? 'backend' : 'target',
  });
}

function agent(id: string): Agent {
  return Agent.parse({
    id,
    owner: OWNER,
    ends: '2030-01-01',
    environment: 'production',
    exposure: 'internal',
    tier: 'standard',
    task_types: ['reconcile'],
    scopes: SCOPES.map(({ name }) => name),
    limits: { open_leases: OPEN_LEASES, leases_per_minute: 10_000 },
    identity: { issuer: 'cluster', subject: `spiffe://example/${id}` },
  });
}

/** What the simulated installation declares: short lives, low caps, one target without a guard. */
export function simulatedCatalogue(): Catalogue {
  const taskType = TaskType.parse({
    name: 'reconcile',
    description: 'Reconciles',
    owner: OWNER,
    ceiling: { actions: ['read'], locations: [LOCATION] },
    scopes: SCOPES.map(({ name }) => name),
    max_ttl_seconds: TASK_TTL_SECONDS,
    risk: 'low',
    acceptable_use: 'Simulation',
    escalation: OWNER,
  });
  return {
    hash: 'simulated',
    issuers: new Map(),
    agents: new Map(AGENTS.map((id) => [id, agent(id)])),
    taskTypes: byName([taskType]),
    scopes: byName(SCOPES.map(scope)),
    targets: byName(TARGETS.map(target)),
    operators: { roles: {}, bindings: [{ issuer: 'o', claim: 'c', value: 'v', role: 'r' }] },
    // Small, so that storms are met, and frequent, so that reconciling meets all else.
    limits: Limits.parse({
      sweep_batch: 8,
      revocation_backlog: 20,
      reconcile_every_seconds: 20,
    }),
    policies: [],
  };
}

/** `authorization_details` of a task, optionally one that the task type does not allow. */
export function agentTask(identifier: string, maxTtl: number | null, wide = false): string {
  const details = {
    type: 'agent_task',
    task_type: 'reconcile',
    identifier,
    ...(maxTtl === null ? {} : { max_ttl: maxTtl }),
    ...(wide ? { actions: ['read', 'drop'] } : {}),
  };
  return JSON.stringify([details]);
}
