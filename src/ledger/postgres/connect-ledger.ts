import { Kysely, PostgresDialect } from 'kysely';
import type { Clock } from '../../foundation/clock.ts';
import type { Log } from '../../foundation/log.ts';
import type { Ledger } from '../ledger.ts';
import { schemaState } from '../migrate.ts';
import type { SchemaState } from '../schema-state.ts';
import {
  quarantineAgent,
  quarantinedNotFenced,
  readAgent,
  readAgents,
  releaseAgent,
} from './agent-states.ts';
import { claimAgain } from './claim-again.ts';
import { fenceUndeclared, noteCatalogue } from './catalogues.ts';
import { claimDue } from './claim-due.ts';
import { claimResidue } from './claim-residue.ts';
import { countClosed } from './count-closed.ts';
import { countLeases } from './count-leases.ts';
import { dueTargets } from './due-targets.ts';
import { endLease } from './end-lease.ts';
import { endTask } from './end-task.ts';
import { endTimedOutTasks } from './end-timed-out-tasks.ts';
import { raiseEpoch, readEpoch } from './epoch.ts';
import { readFacts } from './exchange-facts.ts';
import { forgetKeys } from './idempotency-keys.ts';
import { countSelected, dyingSelected, fenceSelected } from './fence-selected.ts';
import type { LedgerAddress } from './ledger-address.ts';
import type { LedgerDatabase, LedgerTables } from './ledger-database.ts';
import { lateTargets } from './late-targets.ts';
import { ledgerPool } from './ledger-pool.ts';
import type { LedgerPool } from './ledger-pool.ts';
import { openRowTurns, sharesOf } from './ledger-shares.ts';
import { listLeases } from './list-leases.ts';
import { listTasks } from './list-tasks.ts';
import { openLease } from './open-lease.ts';
import { openLeases } from './open-leases.ts';
import {
  findLease,
  readEvents,
  readInstallation,
  readLease,
  readNow,
  readTask,
} from './read-records.ts';
import { recordDeaths } from './record-deaths.ts';
import { recordDenial } from './record-denial.ts';
import { recordEvents } from './record-events.ts';
import { leasesByBackendId, leasesByName } from './find-leases.ts';
import { recordLate } from './record-late.ts';
import { recordMint } from './record-mint.ts';
import { recordResidue } from './record-residue.ts';
import { recordResurrected } from './record-resurrected.ts';
import { recordSettled } from './record-settled.ts';
import {
  beginReconciliation,
  endReconciliation,
  keepReconciliation,
  lastReconciliation,
} from './reconciliation-claim.ts';
import { releaseClaims } from './release-claims.ts';
import { repeatsOf } from './repeats-of.ts';
import { readSelfCheck, recordSelfCheck, takeSelfCheck } from './self-checks.ts';
import { beginStop, endStop, exchangesUnderWay, readStops } from './stops.ts';

export type LedgerOptions = LedgerAddress & {
  /** Connections of this replica; 10 are enough for two cores. */
  readonly poolSize: number;
  /** This process, as the owner of claims: unique among the replicas and their restarts. */
  readonly replica: string;
  /** Seconds until a claim of this replica lapses and another takes its leases over. */
  readonly claimSeconds: number;
  readonly clock: Clock;
  readonly log: Log;
};

export type ConnectedLedger = Ledger & {
  /** For readiness. Rejects with `LedgerUnreachable`. */
  schema(): Promise<SchemaState>;
  /** Waits for what is under way, then closes all connections. May be called repeatedly. */
  close(): Promise<void>;
};

/**
 * The ledger on Postgres. Connects when it is first asked and again whenever a connection is lost,
 * so it may be made while Postgres is down. Exchanges and lists get a share of the connections; all
 * else (endings, stops, the sweep, the record of a mint) may have any of them.
 */
export function connectLedger(options: LedgerOptions): ConnectedLedger {
  const pool = ledgerPool(options, options.poolSize, options.log);
  const { ledger, exchanges, lists } = databases(pool, options);
  const inTurn = openRowTurns(options.clock);
  let closed: Promise<void> | undefined;
  return {
    schema: () => schemaState(options),
    close: () => (closed ??= pool.end()),
    installation: () => readInstallation(ledger),
    now: () => readNow(ledger),
    epoch: () => readEpoch(ledger),
    raiseEpoch: (from, to, confirmed) => raiseEpoch(ledger, from, to, confirmed),
    readForExchange: (...of) => readFacts(exchanges, ...of),
    openLease: (agent, ...opening) =>
      inTurn(lineOf(agent.id), () => openLease(exchanges, agent, ...opening)),
    forgetKeys: (limit) => forgetKeys(ledger, limit),
    repeatsOf: (leaseIds, withinSeconds) => repeatsOf(lists, leaseIds, withinSeconds),
    recordDenial: (event) => inTurn(lineOf(event.agentId), () => recordDenial(exchanges, event)),
    recordMint: (record) => recordMint(ledger, record),
    endTask: (end) =>
      inTurn(`task ${end.taskId} of ${end.agentId ?? 'any'}`, () => endTask(ledger, end)),
    endLease: (end) => endLease(ledger, end),
    endTimedOutTasks: (limit) => endTimedOutTasks(ledger, limit),
    dueTargets: (countUpTo) => dueTargets(ledger, countUpTo),
    claimDue: (...asked) => claimDue(ledger, ...asked),
    claimResidue: (limit) => claimResidue(ledger, limit),
    recordDeaths: (deaths, settledBy) => recordDeaths(ledger, deaths, settledBy),
    recordSettled: (leaseIds, note) => recordSettled(ledger, leaseIds, note),
    recordResidue: (id, residue, retryInMs) => recordResidue(ledger, id, residue, retryInMs),
    recordLate: (late) => recordLate(ledger, late),
    releaseClaims: () => releaseClaims(ledger),
    recordResurrected: (leaseId, detail) => recordResurrected(ledger, leaseId, detail),
    quarantineAgent: (quarantine) => quarantineAgent(ledger, quarantine),
    releaseAgent: (release) => releaseAgent(ledger, release),
    fenceSelected: (fence, limit) => fenceSelected(ledger, fence, limit),
    beginStop: (stop, limit) => beginStop(ledger, stop, limit),
    stops: (olderThanSeconds) => readStops(ledger, olderThanSeconds),
    endStop: (id) => endStop(ledger, id),
    exchangesUnderWay: () => exchangesUnderWay(ledger),
    dyingSelected: (selector, limit) => dyingSelected(ledger, selector, limit),
    countSelected: (selector, cause) => countSelected(ledger, selector, cause),
    noteCatalogue: (hash, inUseSeconds) => noteCatalogue(ledger, hash, inUseSeconds),
    fenceUndeclared: (...undeclared) => fenceUndeclared(ledger, ...undeclared),
    takeSelfCheck: (name, everySeconds) => takeSelfCheck(ledger, name, everySeconds),
    recordSelfCheck: (name, failure) => recordSelfCheck(ledger, name, failure),
    selfCheck: (name) => readSelfCheck(ledger, name),
    agents: () => readAgents(lists),
    agent: (id) => readAgent(ledger, id),
    quarantinedNotFenced: () => quarantinedNotFenced(ledger),
    beginReconciliation: (pass, seconds) => beginReconciliation(ledger, pass, seconds),
    keepReconciliation: (pass) => keepReconciliation(ledger, pass),
    endReconciliation: (pass, result) => endReconciliation(ledger, pass, result),
    lastReconciliation: () => lastReconciliation(ledger),
    openLeases: (limit, cursor) => openLeases(ledger, limit, cursor),
    leasesByName: (names) => leasesByName(ledger, names),
    leasesByBackendId: (ids, opened) => leasesByBackendId(ledger, ids, opened),
    recordEvents: (events) => recordEvents(ledger, events),
    lease: (id) => readLease(ledger, id),
    leaseByName: (name) => findLease(ledger, 'credential_name', name),
    leaseByCredential: (sha256) => findLease(ledger, 'credential_sha256', sha256),
    leases: (filter, limit, cursor) => listLeases(lists, filter, limit, cursor),
    task: (id) => readTask(ledger, id),
    tasks: (filter, limit, cursor) => listTasks(lists, filter, limit, cursor),
    events: (of) => readEvents(lists, of),
    claimAgain: (leaseId, by, reason) => claimAgain(ledger, leaseId, by, reason),
    counts: (alarms) => countLeases(ledger, alarms),
    countClosed: (limit, cursor) => countClosed(ledger, limit, cursor),
    lateTargets: (alarms, limit) => lateTargets(ledger, alarms, limit),
  };
}

/** Where all that an agent may crowd waits for its turn. */
function lineOf(agentId: string | null): string {
  return `agent ${agentId ?? 'unknown'}`;
}

/** Over all connections of the pool, and over the shares of it. */
function databases(pool: LedgerPool, options: LedgerOptions) {
  const { exchanges, lists } = sharesOf(pool, options.poolSize, options.clock);
  return {
    ledger: over(pool, options),
    exchanges: over(exchanges, options),
    lists: over(lists, options),
  };
}

function over(pool: LedgerPool, { replica, claimSeconds }: LedgerOptions): LedgerDatabase {
  const db = new Kysely<LedgerTables>({ dialect: new PostgresDialect({ pool }) });
  return { db, pool, replica, claimSeconds };
}
