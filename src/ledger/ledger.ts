import type { Failure } from '../foundation/failure.ts';
import type { Json } from '../foundation/canonical-json.ts';
import type { Result } from '../foundation/result.ts';
import type {
  AuditEvent,
  EndCause,
  Lease,
  LeaseSnapshot,
  NewAuditEvent,
  Revocability,
  Task,
} from './lease.ts';
import type { ClosedState, LeaseState, OpenState } from './lease-states.ts';
import type {
  AgentRecord,
  Declared,
  FenceSelected,
  Quarantine,
  QuarantineAgent,
  SelectedLeases,
  SelfCheck,
  Selector,
  Stop,
} from './stop.ts';

/** What an exchange must know, read in one go (and again under lock before its commit). */
export type ExchangeFacts = {
  /** The ledger's clock. */
  readonly now: Date;
  /** The agent's leases in `minting`, `active` or `revoking`. */
  readonly openLeases: number;
  /** The agent's leases opened within the last 60 seconds. */
  readonly recentLeases: number;
  /** The agent is quarantined: nothing may be granted to it. */
  readonly quarantined: boolean;
  /** What revocations that are under way select; normally empty. */
  readonly stops: readonly Selector[];
  /** The newest task of this agent with this identifier, whether open or ended; null: none. */
  readonly task: Task | null;
  /** What the Idempotency-Key asked about stands for; null: nothing, or none was asked about. */
  readonly earlier: EarlierExchange | null;
};

/** The exchange that an Idempotency-Key was used for within the time for which keys are kept. */
export type EarlierExchange = {
  /** SHA-256 over its parameters without tokens. */
  readonly requestSha256: Buffer;
  readonly lease: Lease;
};

export type NewTask = {
  readonly id: string;
  readonly taskType: string;
  readonly identifier: string;
  readonly purpose: string | null;
  readonly workflow: string | null;
  readonly actions: readonly string[];
  readonly locations: readonly string[];
  readonly datatypes: readonly string[] | null;
  readonly parameters: Readonly<Record<string, string>>;
  readonly delegation: { readonly maxDepth: number; readonly maxChildren: number } | null;
  readonly deadline: Date;
};

export type NewLease = {
  readonly id: string;
  readonly instance: string;
  readonly issuer: string;
  readonly subject: string;
  readonly scope: string;
  readonly revocability: Revocability;
  readonly credentialName: string;
  readonly decisionId: string;
  readonly deadline: Date;
  /** Seconds from the commit until the minting replica is taken for dead. */
  readonly mintDeadlineSeconds: number;
  /** When the batch token, and with it OpenBao's lease, ends at the latest. */
  readonly backendEndsBy: Date;
  /** SHA-256 over the parameters of the exchange without tokens; equal ones are seen as repeats. */
  readonly requestSha256: Buffer;
  readonly snapshot: LeaseSnapshot;
};

/** An exchange that came with an Idempotency-Key. */
export type KeyedExchange = {
  /** SHA-256 over instance and key. */
  readonly keySha256: Buffer;
  readonly keptSeconds: number;
  /** The lease of an earlier exchange with the key: fenced (`superseded`) where it may live. */
  readonly replaces: string | null;
};

/** What an exchange commits: into the open task, or with a new one. */
export type Admission = {
  readonly openTask: NewTask | null;
  readonly lease: NewLease;
  /** Absent: no key was given. */
  readonly keyed?: KeyedExchange;
  readonly event: (taskId: string) => NewAuditEvent;
};

/** A lease in `minting` with its task, as committed. */
export type OpenedLease = {
  readonly lease: Lease;
  readonly task: Task;
  /** What it replaces and was fenced with its commit, claimed by this replica; null: nothing. */
  readonly superseded: Lease | null;
};

/**
 * Decides by the facts that were read under lock; called once. What it begins beside the commit must
 * be harmless where the commit fails.
 */
export type Admit = (facts: ExchangeFacts) => Result<Admission, Failure>;

export type MintRecord = {
  readonly leaseId: string;
  readonly outcome: 'minted' | 'refused' | 'unsent' | 'unknown';
  readonly backendLeaseId: string | null;
  /** SHA-256 over the exact bytes of `access_token`; null where there is none. */
  readonly credentialSha256: Buffer | null;
};

export type EndTask = {
  readonly taskId: string;
  /** Only a task of this agent; absent: any (operators). */
  readonly agentId?: string;
  readonly cause: 'completed' | 'revoked';
  readonly outcome: 'succeeded' | 'failed' | 'cancelled' | null;
  readonly note: string | null;
  /** `agent:<id>` or the operator's name. */
  readonly by: string;
};

export type EndLease = {
  readonly leaseId: string;
  readonly cause: EndCause;
  readonly reason: string | null;
  /** `agent:<id>`, the operator's name, or `mayfly`. */
  readonly by: string;
};

export type EndedLease = {
  readonly lease: Lease;
  /** False where it was fenced, or closed, before: ending twice is fine. */
  readonly fencedNow: boolean;
};

export type EndedTask = {
  readonly task: Task;
  /** False where the task had ended before: completing twice is fine. */
  readonly endedNow: boolean;
  /** Every lease that may live, in its state after the call, and the newest 200 of the dead. */
  readonly leases: readonly Lease[];
  /** How many the task ever had, counted up to 10,000. */
  readonly leaseCount: number;
};

/** The evidence of a death, to be committed with it. */
export type Death = {
  readonly leaseId: string;
  readonly evidence: Json;
  readonly revocability: Revocability;
  readonly revocabilityReason: string | null;
  readonly residue: string | null;
  readonly targetOid: number | null;
};

export type Lateness = {
  readonly leaseId: string;
  /** In which the attempt was made: to end it, or to settle what is dead. */
  readonly state: Extract<LeaseState, 'revoking' | 'revoked'>;
  readonly reason: string;
  /** Milliseconds until the next attempt, back-off and jitter included. */
  readonly retryInMs: number;
  /** The oid seen so far; kept, for a later attempt's positive control. */
  readonly targetOid: number | null;
};

/** `end`: what may live is to die. `settle`: what is dead is to be settled with the backend. */
export type DueWork = 'end' | 'settle';

/** `guard`: leases with `proof: target`. `backend`: all others. */
export type EndedBy = 'guard' | 'backend';

/** What waits at one target. */
export type DueTarget = {
  readonly target: string;
  /** Leases past their deadline or fenced, and not dead; claimed ones too. Counted up to a limit. */
  readonly backlog: number;
  /** Some of them are to be seen dead by the target's guard (`proof: target`). */
  readonly toProve: boolean;
  /** Something can be claimed now. */
  readonly toEnd: boolean;
  readonly toSettle: boolean;
};

export type LeaseFilter = {
  readonly states?: readonly LeaseState[];
  readonly agentId?: string;
  readonly scope?: string;
  readonly taskId?: string;
  readonly owner?: string;
  readonly expiresBefore?: Date;
  readonly credentialSha256?: Buffer;
  /** Past its deadline (or fenced) and not yet dead. */
  readonly late?: boolean;
  /** Dead and not settled. */
  readonly unsettled?: boolean;
  readonly residue?: boolean;
};

export type Page<Item> = {
  readonly items: readonly Item[];
  /** Opaque; null on the last page. */
  readonly cursor: string | null;
};

/** What is compared with the backend: a lease that is not closed, in few words. */
export type OpenLease = Pick<
  Lease,
  'id' | 'state' | 'credentialName' | 'backendLeaseId' | 'mintOutcome' | 'createdAt' | 'activatedAt'
> &
  Pick<LeaseSnapshot, 'target' | 'mount' | 'role'>;

/** Which ledger this is, and how far it has come. */
export type LedgerEpoch = {
  readonly ledger: string;
  /** `system_identifier` of its server: a dump that was restored elsewhere has another one. */
  readonly cluster: string;
  readonly epoch: number;
  /** When an operator last said that this is the ledger to go on with. */
  readonly confirmedAt: Date | null;
};

/** The last reconciliation that came to its end, whichever replica made it. */
export type LastReconciliation = { readonly endedAt: Date; readonly result: Json };

export type TaskFilter = {
  readonly open?: boolean;
  readonly agentId?: string;
  readonly taskType?: string;
  readonly identifier?: string;
  readonly workflow?: string;
};

/** Seconds after which the two alarms begin. */
export type AlarmBounds = {
  /** After the deadline, or the fence where that came first. */
  readonly notDeadSeconds: number;
  /** After the death. */
  readonly notSettledSeconds: number;
};

/** What is past the bounds of the alarms at one target. */
export type LateTarget = {
  readonly target: string;
  readonly notDeadInTime: number;
  readonly notSettled: number;
  /** Why the last attempt of one of them failed; null: none was made. Contains no secret. */
  readonly reason: string | null;
};

/** What is not closed, and what the alarms are about. */
export type LedgerCounts = {
  readonly byState: Readonly<Record<OpenState, number>>;
  /** In `minting`, `active` or `revoking` longer after deadline or fence than the alarm's bound. */
  readonly notDeadInTime: number;
  /** In `revoked` for longer than the alarm's bound. */
  readonly notSettled: number;
  readonly residue: number;
  readonly now: Date;
};

/** One page of all leases: how many of it are closed. */
export type ClosedCounts = {
  readonly byState: Readonly<Record<ClosedState, number>>;
  /** Opaque; null on the last page. */
  readonly cursor: string | null;
};

/**
 * What we promised, until when. Each operation is one transaction; each transition of a lease is
 * one conditional update plus one audit event. Deadlines are compared by the ledger's clock, in
 * SQL. A method rejects with `LedgerUnreachable` when Postgres cannot be asked or its answer to a
 * commit was lost; repeating a method changes nothing.
 */
export type Ledger = {
  /** 4 characters of Crockford base32, made once per ledger. */
  installation(): Promise<string>;
  now(): Promise<Date>;
  epoch(): Promise<LedgerEpoch>;
  /** Sets the epoch where it still is `from`; false where somebody else has raised it. */
  raiseEpoch(from: number, to: number, confirmed: boolean): Promise<boolean>;

  // Exchange.
  readForExchange(agentId: string, identifier: string, keySha256?: Buffer): Promise<ExchangeFacts>;
  /**
   * Locks the agent's row, reads the facts again, asks `admit`, and commits task, lease (`minting`)
   * and event, and with a key what it stands for from now on. Caps are exact because of the lock.
   * Fails, whatever `admit` says, with `agent_quarantined`, with `revocation_under_way` where a stop
   * selects the lease, with `ledger_unreachable` where waiting for it has left the lease less than 2
   * seconds, and with `task_ended` where its task has ended.
   */
  openLease(
    agent: { readonly id: string; readonly owner: string },
    identifier: string,
    admit: Admit,
    keySha256?: Buffer,
  ): Promise<Result<OpenedLease, Failure>>;
  /** Forgets Idempotency-Keys that are no longer kept; answers how many. Bounded by `limit`. */
  forgetKeys(limit: number): Promise<number>;
  /**
   * Of these leases, those for which the same instance had asked with the same parameters within
   * `withinSeconds` before: most likely one request that was sent again. By id: the one before.
   */
  repeatsOf(
    leaseIds: readonly string[],
    withinSeconds: number,
  ): Promise<ReadonlyMap<string, string>>;
  /** Writes the audit event of a denial. */
  recordDenial(event: NewAuditEvent): Promise<void>;
  /**
   * Records how a mint ended, in any state, and activates the lease where it is still `minting`
   * and the outcome is `minted`; abandons it where `minting` and `refused` or `unsent`; fences it
   * (`mint_unknown`) where `minting` and `unknown`. Answers the lease as it is then.
   */
  recordMint(record: MintRecord): Promise<Lease>;

  // Ending. What is fenced here is claimed by this replica until the claim lapses.
  /** Ends the task (once) and fences all its leases; null: no such task (of that agent). */
  endTask(end: EndTask): Promise<EndedTask | null>;
  /** Fences one lease; answers it as it is then; null: no such lease. */
  endLease(end: EndLease): Promise<EndedLease | null>;
  /** Marks tasks past their deadline as ended; answers how many. Bounded by `limit`. */
  endTimedOutTasks(limit: number): Promise<number>;
  /** The targets at which something waits; their backlogs are counted up to `countUpTo`. */
  dueTargets(countUpTo: number): Promise<readonly DueTarget[]>;
  /**
   * Claims what is due and unclaimed at one target, each when its next attempt is due. `end`: leases
   * past their deadline (fenced here, cause `deadline`), `minting` ones past their mint deadline
   * (fenced, `mint_lost`) and `revoking` ones; the target's agents take turns, each with its longest
   * due first. `settle`: `revoked` ones, longest due first. May answer fewer than there are.
   * `endedBy`: of those to end only what the target's guard ends, or what needs OpenBao alone.
   */
  claimDue(
    work: DueWork,
    target: string,
    limit: number,
    endedBy?: EndedBy,
  ): Promise<readonly Lease[]>;
  /** Claims settled leases whose residue is to be tried again. */
  claimResidue(limit: number): Promise<readonly Lease[]>;
  /**
   * `revoking` to `revoked`, with evidence; answers those that moved now. Who settles them: this
   * replica, which then has the claim (the default), or whoever claims them first.
   */
  recordDeaths(deaths: readonly Death[], settledBy?: 'us' | 'anyone'): Promise<readonly Lease[]>;
  /** `revoked` to `settled`; `note` says on whose word. */
  recordSettled(leaseIds: readonly string[], note: string): Promise<readonly Lease[]>;
  /** The residue of a settled lease is gone, or changed. */
  recordResidue(leaseId: string, residue: string | null, retryInMs: number): Promise<void>;
  /**
   * Nothing moved: counts the attempt, keeps the reason, releases the claim. What another attempt
   * moved on meanwhile stays as it is.
   */
  recordLate(late: readonly Lateness[]): Promise<void>;
  /**
   * Claims a lease that is `revoking`, `revoked` or has residue for an attempt now, whatever its
   * next one is, unless another replica is at it; answers it as it is then; null: no such lease.
   */
  claimAgain(leaseId: string, by: string, reason: string): Promise<Lease | null>;
  /** Gives up all claims of this replica, so that others go on at once (graceful stop). */
  releaseClaims(): Promise<number>;
  /** A user was found at the target under a lease that is already closed. */
  recordResurrected(leaseId: string, detail: Json): Promise<void>;

  // Stopping.
  /**
   * Quarantines an agent, also one that was never seen. When it resolves, no exchange of that agent
   * can open a lease any more (I7): it waited for those that hold the agent's lock. What the agent
   * has is fenced by `fenceSelected`.
   */
  quarantineAgent(
    quarantine: QuarantineAgent,
  ): Promise<{ readonly quarantine: Quarantine; readonly changed: boolean }>;
  /** Lets new exchanges pass; ended leases stay ended. False: it was not quarantined. */
  releaseAgent(release: QuarantineAgent): Promise<boolean>;
  /**
   * Fences the oldest `limit` leases that the selector selects, each with an event. Those that are
   * to be ended by the caller are claimed by this replica, the others are due at once for anyone.
   * With the cause `quarantine`: only of agents that are quarantined still.
   */
  fenceSelected(fence: FenceSelected, limit: number): Promise<readonly Lease[]>;
  /**
   * Commits a stop: while it lives, exchanges that it selects are refused, and mints that come back
   * are fenced. False: `limit` stops live already.
   */
  beginStop(stop: Stop, limit: number): Promise<boolean>;
  /** Stops that began `olderThanSeconds` ago or earlier and were not ended. */
  stops(olderThanSeconds: number): Promise<readonly Stop[]>;
  /** It has done its work. Ending it twice is fine. */
  endStop(id: string): Promise<void>;
  /**
   * Transactions of exchanges that are under way at this moment, by names that are never used
   * again. One that is not among them after `beginStop` has seen the stop, or its lease is there.
   */
  exchangesUnderWay(): Promise<readonly string[]>;
  /** The oldest `limit` that the selector selects of those fenced and not dead, whoever claims them. */
  dyingSelected(selector: Selector, limit: number): Promise<readonly Lease[]>;
  /** What the selector selects of live leases; `open` are those that this cause would fence. */
  countSelected(selector: Selector, cause: EndCause): Promise<SelectedLeases>;
  /**
   * Notes that a catalogue of this hash is in force on a replica for the next `inUseSeconds`; one
   * that was never seen is newer than all before. `newest`: none that is newer is in force.
   */
  noteCatalogue(
    hash: string,
    inUseSeconds: number,
  ): Promise<{ readonly newest: boolean; readonly now: Date }>;
  /**
   * Fences the oldest `limit` leases (`catalogue`) of what is not declared; due for anyone. None where
   * a catalogue newer than the one of this hash is in force by then.
   */
  fenceUndeclared(hash: string, declared: Declared, limit: number): Promise<readonly Lease[]>;
  /** True where it is this replica's turn: the last began `everySeconds` ago or earlier. */
  takeSelfCheck(name: string, everySeconds: number): Promise<boolean>;
  /** Null: it held. */
  recordSelfCheck(name: string, failure: string | null): Promise<void>;
  selfCheck(name: string): Promise<SelfCheck | null>;
  /** Every agent that was ever seen, by id, with what is live of it. */
  agents(): Promise<readonly AgentRecord[]>;
  agent(id: string): Promise<AgentRecord | null>;
  /** Quarantined agents of which something is not fenced yet. */
  quarantinedNotFenced(): Promise<readonly AgentRecord[]>;
  // Reconciling.
  /**
   * Claims the one reconciliation that may be under way, for the pass of this name, which no other
   * has, of this replica or another. `dueAfterSeconds`: only if the last one began so long ago, or
   * never ended; null: at once. A claim that is not kept lapses: another pass may take it over.
   */
  beginReconciliation(
    pass: string,
    dueAfterSeconds: number | null,
  ): Promise<'begun' | 'not_due' | 'running'>;
  /** Prolongs the claim of this pass, lapsed or not; false where another has taken it over. */
  keepReconciliation(pass: string): Promise<boolean>;
  /** Gives the claim up and, where there is a result, keeps it for all replicas. */
  endReconciliation(pass: string, result: Json | null): Promise<void>;
  lastReconciliation(): Promise<LastReconciliation | null>;
  /**
   * Leases that are not closed (`minting`, `active`, `revoking`, `revoked`), page by page. One that
   * moves meanwhile is on one page at least unless it is closed by then.
   */
  openLeases(limit: number, cursor: string | null): Promise<Page<OpenLease>>;
  /** In any state; names that no lease has are left out. */
  leasesByName(credentialNames: readonly string[]): Promise<readonly Lease[]>;
  /** In any state, of those that were opened within these instants. */
  leasesByBackendId(
    backendLeaseIds: readonly string[],
    opened: { readonly from: Date; readonly until: Date },
  ): Promise<readonly Lease[]>;
  /** Writes audit events of what was found; a repetition with the same id changes nothing. */
  recordEvents(events: readonly NewAuditEvent[]): Promise<void>;

  // Reading.
  lease(id: string): Promise<Lease | null>;
  leaseByName(credentialName: string): Promise<Lease | null>;
  leaseByCredential(sha256: Buffer): Promise<Lease | null>;
  leases(filter: LeaseFilter, limit: number, cursor: string | null): Promise<Page<Lease>>;
  task(id: string): Promise<Task | null>;
  tasks(filter: TaskFilter, limit: number, cursor: string | null): Promise<Page<Task>>;
  events(
    of: { readonly leaseId: string } | { readonly taskId: string },
  ): Promise<readonly AuditEvent[]>;
  counts(alarms: AlarmBounds): Promise<LedgerCounts>;
  /** Counts what is closed among the next `limit` leases, the oldest first. */
  countClosed(limit: number, cursor: string | null): Promise<ClosedCounts>;
  /** Which targets the alarms are about, those with the most first; at most `limit`. */
  lateTargets(alarms: AlarmBounds, limit: number): Promise<readonly LateTarget[]>;
};

/** Postgres could not be asked, or the outcome of a commit is unknown. Carries no parameters. */
export class LedgerUnreachable extends Error {
  override readonly name = 'LedgerUnreachable';
}

/** This replica lends no connection for it now: others that ask for the same wait already. */
export class LedgerBusy extends LedgerUnreachable {}

/** A cursor that we did not make. */
export class CursorInvalid extends Error {
  override readonly name = 'CursorInvalid';
}
