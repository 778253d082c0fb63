import type { Reconciliation } from '../../../src/broker/reconciliation.ts';
import type { AgentView, ExchangeGrant } from '../../../src/broker/broker.ts';
import { SecretText } from '../../../src/foundation/secret-text.ts';
import type { AgentCaller, OperatorCaller } from '../../../src/identity/principal.ts';
import type { AuditEvent, Lease, Task } from '../../../src/ledger/lease.ts';

export const LEASE_ID = '0190c0de-0000-7000-8000-000000000001';
export const TASK_ID = '0190c0de-0000-7000-8000-000000000002';
export const DECISION_ID = '0190c0de-0000-7000-8000-000000000003';

/** A recognisable secret: it may be in the answer of an exchange and nowhere else. */
export const PASSWORD = 'canary-password-3141592';
export const WORKLOAD_TOKEN = 'canary.workload.token';
export const OPERATOR_TOKEN = 'canary.operator.token';

const OPENED = new Date('2026-01-02T03:04:05.000Z');
const NAME = 'm0000-01j30dw000e00g000000000001-6957397d';

export const task: Task = {
  id: TASK_ID,
  agentId: 'invoice-reconciler',
  owner: 'finance-platform team',
  taskType: 'reconcile-invoice',
  identifier: 'invoice-4711',
  purpose: 'Reconcile invoice 4711 with the ledger',
  workflow: 'month-end-2026-01',
  actions: ['read'],
  locations: ['https://db.internal.example/orders'],
  datatypes: ['orders'],
  parameters: {},
  delegation: { maxDepth: 1, maxChildren: 2 },
  openedByInstance: 'spiffe://example.org/agent/invoice-reconciler',
  openedAt: OPENED,
  deadline: new Date('2026-01-02T03:09:05.000Z'),
  endedAt: null,
  endCause: null,
  outcome: null,
  note: null,
};

export const QUARANTINE = { since: OPENED, by: 'operators|olivia', reason: 'strange queries' };

export const agentView: AgentView = {
  id: 'invoice-reconciler',
  declared: null,
  record: {
    id: 'invoice-reconciler',
    firstSeenAt: OPENED,
    quarantine: QUARANTINE,
    live: { minting: 0, active: 1, revoking: 0 },
  },
};

export const lease: Lease = {
  id: LEASE_ID,
  taskId: TASK_ID,
  agentId: 'invoice-reconciler',
  owner: 'finance-platform team',
  instance: 'spiffe://example.org/agent/invoice-reconciler',
  issuer: 'cluster',
  subject: 'spiffe://example.org/agent/invoice-reconciler',
  scope: 'orders-read',
  state: 'active',
  revocability: 'proven',
  revocabilityReason: null,
  credentialName: NAME,
  decisionId: DECISION_ID,
  createdAt: OPENED,
  deadline: new Date('2026-01-02T03:09:05.000Z'),
  mintDeadline: new Date('2026-01-02T03:04:15.000Z'),
  activatedAt: new Date('2026-01-02T03:04:05.020Z'),
  mintEndedAt: new Date('2026-01-02T03:04:05.019Z'),
  mintOutcome: 'minted',
  backendLeaseId: 'database/creds/orders-read/abc',
  backendEndsBy: new Date('2026-01-02T03:09:35.000Z'),
  fencedAt: null,
  endCause: null,
  endReason: null,
  revokedAt: null,
  settledAt: null,
  targetOid: null,
  evidence: null,
  residue: null,
  residueSince: null,
  claimOwner: null,
  claimUntil: null,
  attempts: 0,
  nextAttemptAt: null,
  lateReason: null,
  replacesLeaseId: null,
  snapshot: {
    target: 'orders-db',
    kind: 'postgres',
    mount: 'database',
    config: 'orders',
    role: 'orders-read',
    tokenRole: 'mayfly-orders-read',
    proof: 'target',
    catalogueHash: 'c0ffee',
  },
};

export const deadLease: Lease = {
  ...lease,
  state: 'settled',
  fencedAt: new Date('2026-01-02T03:05:00.000Z'),
  endCause: 'completed',
  revokedAt: new Date('2026-01-02T03:05:00.005Z'),
  settledAt: new Date('2026-01-02T03:05:00.009Z'),
  targetOid: 16_444,
  evidence: { seen: 'alive', oid: 16_444 },
};

export const event: AuditEvent = {
  id: '0190c0de-0000-7000-8000-000000000004',
  at: OPENED,
  kind: 'lease.opened',
  agentId: lease.agentId,
  taskId: TASK_ID,
  leaseId: LEASE_ID,
  body: '{"scope":"orders-read"}',
};

export const grant: ExchangeGrant = {
  credential: {
    kind: 'database',
    username: NAME,
    password: new SecretText(PASSWORD),
    host: 'db.internal.example',
    port: 5432,
    database: 'orders',
    sslmode: 'verify-full',
    uri: new SecretText(`postgresql://${NAME}:${PASSWORD}@db.internal.example:5432/orders`),
  },
  lease,
  task,
  granted: { ...task, datatypes: task.datatypes ?? undefined, maxTtlSeconds: 300 },
  expiresInSeconds: 300,
  decisionId: DECISION_ID,
};

const verified = {
  issuer: 'cluster',
  subject: lease.subject,
  claims: {},
  expiresAt: new Date('2026-01-02T04:00:00Z'),
  sha256: '00',
};

export const agentCaller: AgentCaller = {
  kind: 'agent',
  agent: {
    id: lease.agentId,
    owner: lease.owner,
    ends: '2027-12-31',
    environment: 'production',
    exposure: 'internal',
    tier: 'standard',
    task_types: ['reconcile-invoice'],
    scopes: ['orders-read'],
    limits: { open_leases: 5, leases_per_minute: 60 },
    identity: { issuer: 'cluster', subject: lease.subject },
  },
  instance: lease.instance,
  token: { ...verified, use: 'workload' },
  policyClaims: {},
};

export const operatorCaller: OperatorCaller = {
  kind: 'operator',
  name: 'staff|ops@example.org',
  permissions: new Set(['leases.read', 'leases.revoke', 'tasks.read', 'tasks.revoke']),
  token: { ...verified, issuer: 'staff', use: 'operator' },
};

export const reconciliation: Reconciliation = {
  dryRun: true,
  begunAt: new Date('2026-11-22T10:00:00.000Z'),
  seconds: 0.25,
  complete: true,
  before: { backend_lease_unknown: 1, lease_missing_in_backend: 0, user_without_lease: 0 },
  after: { backend_lease_unknown: 1, lease_missing_in_backend: 0, user_without_lease: 0 },
  withinGrace: 0,
  settled: 0,
  lookedAt: { backendLeases: 1, openLeases: 0, users: 0 },
  findings: [
    {
      kind: 'backend_lease_unknown',
      place: 'mayfly-orders/creds/orders-read',
      name: 'mayfly-orders/creds/orders-read/XoHY1W4bUca5CDWkfcm2wT9v',
      leaseId: null,
      outcome: 'would_end',
      detail: 'the ledger does not know it',
    },
  ],
  findingsLeftOut: 0,
  strangers: { users: 0, names: [] },
  problems: [],
};
