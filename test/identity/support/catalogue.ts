import { Agent } from '../../../src/catalogue/agent.ts';
import type { Catalogue } from '../../../src/catalogue/catalogue.ts';
import { Issuer } from '../../../src/catalogue/issuer.ts';
import { Limits } from '../../../src/catalogue/limits.ts';
import { Operators } from '../../../src/catalogue/operators.ts';
import { SUBJECT } from './tokens.ts';

export function oidc(changes: Record<string, unknown> = {}): Issuer {
  return Issuer.parse({
    kind: 'oidc',
    name: 'demo',
    use: 'workload',
    issuer: 'https://issuer.example',
    keys: { discovery: true },
    algorithms: ['ES256', 'RS256'],
    token_types: ['JWT', ''],
    ...changes,
  });
}

export function spiffe(changes: Record<string, unknown> = {}): Issuer {
  return Issuer.parse({
    kind: 'spiffe',
    name: 'spire',
    use: 'workload',
    trust_domain: 'demo.example',
    keys: { bundle_file: 'bundle.json' },
    algorithms: ['ES256', 'RS256'],
    token_types: ['JWT', 'JOSE', ''],
    ...changes,
  });
}

export function agent(id: string, identity: Partial<Agent['identity']> = {}): Agent {
  return Agent.parse({
    id,
    owner: 'finance-platform team',
    ends: '2027-12-31',
    environment: 'demo',
    exposure: 'internal',
    tier: 'standard',
    task_types: ['reconcile-invoice'],
    scopes: ['orders-read'],
    limits: { open_leases: 5, leases_per_minute: 60 },
    identity: { issuer: 'demo', subject: SUBJECT, ...identity },
  });
}

export const OPERATORS = Operators.parse({
  roles: { viewer: ['leases.read', 'tasks.read'], operator: ['leases.revoke'] },
  bindings: [
    { issuer: 'people', claim: 'groups', value: 'on-call', role: 'operator' },
    { issuer: 'people', claim: 'groups', value: 'staff', role: 'viewer' },
  ],
});

/** A catalogue with only the parts that identity reads. */
export function catalogueOf(issuers: readonly Issuer[], agents: readonly Agent[]): Catalogue {
  return {
    hash: 'none',
    issuers: new Map(issuers.map((one) => [one.name, one])),
    agents: new Map(agents.map((one) => [one.id, one])),
    taskTypes: new Map(),
    scopes: new Map(),
    targets: new Map(),
    operators: OPERATORS,
    limits: Limits.parse({}),
    policies: [],
  };
}
