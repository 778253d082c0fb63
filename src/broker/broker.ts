import type { Agent } from '../catalogue/agent.ts';
import type { Failure } from '../foundation/failure.ts';
import type { Json } from '../foundation/canonical-json.ts';
import type { Result } from '../foundation/result.ts';
import type { SecretText } from '../foundation/secret-text.ts';
import type { Authenticator } from '../identity/authenticator.ts';
import type { AskedTask } from './ask.ts';
import type { AgentCaller, Caller, OperatorCaller } from '../identity/principal.ts';
import type { AuditEvent, Lease, Task } from '../ledger/lease.ts';
import type { LateTarget, LeaseFilter, LedgerCounts, Page, TaskFilter } from '../ledger/ledger.ts';
import type { AgentRecord, Quarantine, Selector } from '../ledger/stop.ts';
import type { BackendHealth } from '../mint/backend.ts';
import type { Paused } from './circuits.ts';
import type { ReconcileNumbers } from '../foundation/metrics.ts';
import type { LedgerConfirmation } from './confirm-ledger.ts';
import type { Reconciliation } from './reconciliation.ts';

/** A token exchange as it came, after the form's own rules (RFC 6749, RFC 8693) were checked. */
export type ExchangeRequest = {
  readonly subjectToken: SecretText;
  readonly actorToken: SecretText | null;
  /** The `scope` parameter, whole; null where absent. */
  readonly scope: string | null;
  /** The `authorization_details` parameter, whole; null where absent. */
  readonly authorizationDetails: string | null;
  /** Values of `resource` and `audience`, for callers that declare the task as a URN. */
  readonly taskUrns: readonly string[];
  /** Seconds of life wanted for this lease; null: as long as allowed. */
  readonly ttlSeconds: number | null;
  /** The `Idempotency-Key` header, 1 to 255 visible ASCII characters; null where absent. */
  readonly idempotencyKey: string | null;
};

/** The credential in parts, and as the one string that a plain client can use. */
export type DatabaseCredential = {
  readonly kind: 'database';
  readonly username: string;
  readonly password: SecretText;
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly sslmode: string;
  readonly uri: SecretText;
};

export type ExchangeGrant = {
  readonly credential: DatabaseCredential;
  readonly lease: Lease;
  readonly task: Task;
  /** What this exchange declared and was granted for: equal to the open task's, or narrower. */
  readonly granted: AskedTask;
  /** Whole seconds until the deadline, at least 1. */
  readonly expiresInSeconds: number;
  readonly decisionId: string;
};

export type Completion = {
  readonly outcome: 'succeeded' | 'failed' | 'cancelled';
  readonly note: string | null;
};

/** What became of a task and its leases. */
export type TaskEnding = {
  readonly task: Task;
  /** Every lease that may live, and the newest 200 of the dead. */
  readonly leases: readonly Lease[];
  /** How many the task ever had, counted up to 10,000. */
  readonly leaseCount: number;
  /** True when every lease is dead (`revoked`, `settled` or `abandoned`). */
  readonly allDead: boolean;
  /** How long their deaths were waited for, at most: 0 where too many calls of the agent did. */
  readonly waitSeconds: number;
};

export type LeaseDetail = { readonly lease: Lease; readonly events: readonly AuditEvent[] };
/** `repeatOf`: the lease before it of the same instance, for which all was asked alike. */
export type ListedLease = Lease & { readonly repeatOf: string | null };
export type TaskDetail = { readonly task: Task; readonly leases: readonly Lease[] };

/** What became of all leases that were to end together. */
export type ManyEnded = {
  /** Fenced by this call. */
  readonly fenced: number;
  /** Of those, and of what was being ended already: dead by now. */
  readonly dead: number;
  /** Not dead yet; the sweep goes on with them. */
  readonly dying: number;
};

/** An agent as the catalogue declares it and as the ledger knows it; either may lack it. */
export type AgentView = {
  readonly id: string;
  readonly declared: Agent | null;
  readonly record: AgentRecord | null;
};

export type AgentDetail = AgentView & {
  /** Live ones, newest first, as many as a page shows. */
  readonly leases: readonly Lease[];
};

export type QuarantineEnding = {
  readonly agentId: string;
  readonly quarantine: Quarantine;
  /** False where it was quarantined before: doing it twice is fine. */
  readonly changed: boolean;
  readonly leases: ManyEnded;
};

export type Released = AgentView & {
  /** False where it was not quarantined. */
  readonly changed: boolean;
};

export type RevocationRequest = {
  readonly selector: Selector;
  readonly reason: string;
  /** Only counts; changes nothing. */
  readonly dryRun: boolean;
};

export type Revocation = ManyEnded & {
  /** Null where it was a dry run. */
  readonly id: string | null;
  /** Live leases that are selected and that nothing ends yet, as counted at the beginning. */
  readonly matching: number;
  /** Exchanges that were under way and said nothing for longer than we wait; others go on. */
  readonly underWay: number;
};

/** One bounded pass of the sweep. */
export type SweepPass = {
  readonly claimed: number;
  readonly died: number;
  /** Dead leases whose settling with the backend was begun. */
  readonly settling: number;
  readonly late: number;
  readonly tasksTimedOut: number;
  /** Names that the guard found past their deadline without the ledger's help. */
  readonly endedByName: number;
  /** True when the pass was full and another should follow at once. */
  readonly more: boolean;
};

export type Readiness = {
  readonly ready: boolean;
  readonly ledger: { readonly ok: boolean; readonly detail: string };
  readonly backend: BackendHealth;
  readonly targets: readonly {
    readonly name: string;
    readonly ok: boolean;
    readonly detail: string;
  }[];
  /** Clocks against the ledger's, as measured now; none where the ledger did not answer. */
  readonly clocks: readonly {
    readonly part: 'broker' | 'backend' | 'target';
    readonly name: string;
    readonly skewSeconds: number;
    readonly ok: boolean;
  }[];
  /** Whether the switch is known to work: the self-check of all replicas. */
  readonly quarantine: { readonly ok: boolean; readonly detail: string };
  /** As last counted; null: not counted yet. */
  readonly late: LateWork | null;
  /** Whether `late` and the gauges of leases are of now: not for long without an evaluation. */
  readonly alarms: { readonly ok: boolean; readonly detail: string };
  /** Work that fails as a whole at a target, so that only probes go there. */
  readonly paused: readonly (Paused & { readonly work: 'end' | 'settle' })[];
};

/** What is past the bounds of the two alarms, in all and by target; and what was left behind. */
export type LateWork = {
  readonly notDeadInTime: number;
  readonly notSettled: number;
  readonly residue: number;
  readonly targets: readonly LateTarget[];
};

/** The use cases, as both drivers see them. */
export type Broker = {
  readonly authenticator: Authenticator;
  exchange(request: ExchangeRequest): Promise<Result<ExchangeGrant, Failure>>;
  /**
   * The caller was gone before the answer: the credential is ended at once, since nobody holds it.
   */
  answerLost(leaseId: string): Promise<void>;
  /**
   * Ends the task and waits up to `waitSeconds` until all its leases are dead. Needs no policy and
   * works for agents that have ended. A task of another agent is `not_found`.
   */
  completeTask(
    caller: AgentCaller,
    taskId: string,
    completion: Completion,
    waitSeconds: number,
  ): Promise<Result<TaskEnding, Failure>>;
  /** RFC 7009: fences the lease of this credential if it is the caller's; else does nothing. */
  revokeCredential(caller: AgentCaller, credential: SecretText): Promise<Result<void, Failure>>;
  revokeLease(
    caller: OperatorCaller,
    leaseId: string,
    reason: string,
    waitSeconds: number,
  ): Promise<Result<Lease, Failure>>;
  /** What is late is tried now: its end, its settling, or what it left behind. */
  retryLease(
    caller: OperatorCaller,
    leaseId: string,
    reason: string,
    waitSeconds: number,
  ): Promise<Result<Lease, Failure>>;
  revokeTask(
    caller: OperatorCaller,
    taskId: string,
    reason: string,
    waitSeconds: number,
  ): Promise<Result<TaskEnding, Failure>>;
  listLeases(
    caller: OperatorCaller,
    filter: LeaseFilter,
    limit: number,
    cursor: string | null,
  ): Promise<Result<Page<ListedLease>, Failure>>;
  /** An agent sees its own; for others' it is `not_found`. */
  showLease(caller: Caller, leaseId: string): Promise<Result<LeaseDetail, Failure>>;
  listTasks(
    caller: OperatorCaller,
    filter: TaskFilter,
    limit: number,
    cursor: string | null,
  ): Promise<Result<Page<Task>, Failure>>;
  showTask(caller: Caller, taskId: string): Promise<Result<TaskDetail, Failure>>;
  listAgents(caller: OperatorCaller): Promise<Result<readonly AgentView[], Failure>>;
  showAgent(caller: OperatorCaller, agentId: string): Promise<Result<AgentDetail, Failure>>;
  /**
   * Stops an agent: when it answers, nothing can be granted to it any more, whatever was in flight
   * on any replica (I7), and all that it has is fenced. Waits up to `waitSeconds` for the deaths.
   */
  quarantine(
    caller: OperatorCaller,
    agentId: string,
    reason: string,
    waitSeconds: number,
  ): Promise<Result<QuarantineEnding, Failure>>;
  /** Lets new exchanges pass. What was ended stays ended. */
  release(
    caller: OperatorCaller,
    agentId: string,
    reason: string,
  ): Promise<Result<Released, Failure>>;
  /** Ends every lease that the selector selects, those of exchanges under way included, once. */
  revokeSelected(
    caller: OperatorCaller,
    request: RevocationRequest,
    waitSeconds: number,
  ): Promise<Result<Revocation, Failure>>;
  /** The clock-driven half: one bounded pass over all that is due. */
  sweep(): Promise<SweepPass>;
  /** Compares ledger, backend and targets, and ends what nobody knows; a dry run only looks. */
  reconcile(caller: OperatorCaller, dryRun: boolean): Promise<Result<Reconciliation, Failure>>;
  /** The same where it is due and no other replica is at it; else null. */
  reconcileWhenDue(): Promise<Reconciliation | null>;
  /**
   * Compares what the ledger and OpenBao know of each other, once, and says which catalogue is in force
   * here. Rejects with LedgerUnreachable.
   */
  checkLedger(): Promise<void>;
  /** Shows how this ledger differs; with the confirmation of just that, goes on with it. */
  confirmLedger(
    caller: OperatorCaller,
    confirmation: string | null,
  ): Promise<Result<LedgerConfirmation, Failure>>;
  /** The last reconciliation of any replica, for the gauges. */
  lastReconciliation(): Promise<ReconcileNumbers | null>;
  readiness(): Promise<Readiness>;
  counts(): Promise<LedgerCounts>;
  /** Names of scopes, for metadata; all of them are public to callers that can reach us. */
  describe(): { readonly agentScopes: readonly string[]; readonly limits: Json };
  /** Refuses new exchanges, then waits for or hands over what is in flight, up to `graceMs`. */
  stop(graceMs: number): Promise<void>;
};
