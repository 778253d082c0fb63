import { canonicalJson } from '../../../src/foundation/canonical-json.ts';
import { fail, succeed } from '../../../src/foundation/result.ts';
import type { Ledger } from '../../../src/ledger/ledger.ts';
import {
  fenceUndeclared,
  noteCatalogue,
  recordSelfCheck,
  selfCheck,
  takeSelfCheck,
} from './ledger-checking.ts';
import type { ReplicaOfLedger } from './ledger-fencing.ts';
import type { ModelLedger } from './ledger-model.ts';
import { admission, commitOpening, forgetKeys, readFacts, repeatsOf } from './ledger-opening.ts';
import {
  countClosed,
  countLeases,
  lateTargets,
  listLeases,
  listTasks,
  readEvents,
} from './ledger-reading.ts';
import {
  beginReconciliation,
  endReconciliation,
  keepReconciliation,
  lastReconciliation,
  leasesByBackendId,
  leasesByName,
  openLeases,
  raiseEpoch,
  readEpoch,
  recordEvents,
} from './ledger-reconciling.ts';
import {
  agentRecord,
  agentRecords,
  beginStop,
  countSelected,
  dyingSelected,
  fenceSelected,
  olderStops,
  quarantineAgent,
  quarantinedNotFenced,
  releaseAgent,
} from './ledger-stops.ts';

/** Runs a transaction: at once, or over a network in virtual time. */
export type Carry = <Value>(what: string, detail: string, work: () => Value) => Promise<Value>;

/** All of `Ledger` but the exchange, whose transaction takes two round trips. */
export type OneTripLedger = Omit<Ledger, 'openLease'>;

/** A replica's view of the model, each operation carried as one transaction. */
export function oneTripLedger(
  model: ModelLedger,
  replica: ReplicaOfLedger,
  carry: Carry,
  heldTask: (taskId: string) => boolean = () => false,
): OneTripLedger {
  const { tables } = model;
  const known = {
    installation: () => carry('installation', '', () => model.installationId),
    now: () => carry('now', '', () => model.now()),
    readForExchange: (agent, identifier, key) =>
      carry('readForExchange', identifier, () =>
        readFacts(tables, model.now(), agent, identifier, key),
      ),
    forgetKeys: (limit) => carry('forgetKeys', '', () => forgetKeys(tables, model.now(), limit)),
    repeatsOf: (ids, withinSeconds) =>
      carry('repeatsOf', '', () => repeatsOf(tables, ids, withinSeconds)),
    quarantineAgent: (quarantine) =>
      carry('quarantineAgent', quarantine.agentId, () =>
        quarantineAgent(tables, model.now(), quarantine),
      ),
    releaseAgent: (release) =>
      carry('releaseAgent', release.agentId, () => releaseAgent(tables, model.now(), release)),
    fenceSelected: (selection, limit) =>
      carry('fenceSelected', selection.cause, () =>
        fenceSelected(tables, model.now(), replica, selection, limit),
      ),
    dyingSelected: (selector, limit) =>
      carry('dyingSelected', '', () => dyingSelected(tables, selector, limit)),
    countSelected: (selector, cause) =>
      carry('countSelected', cause, () => countSelected(tables, selector, cause)),
    agents: () => carry('agents', '', () => agentRecords(tables)),
    agent: (id) => carry('agent', id, () => agentRecord(tables, id)),
    quarantinedNotFenced: () =>
      carry('quarantinedNotFenced', '', () => quarantinedNotFenced(tables)),
    recordDenial: (event) =>
      carry('recordDenial', event.id, () => {
        if (tables.eventIds.has(event.id)) return;
        tables.writeEvent({ ...event, at: model.now(), body: canonicalJson(event.body) });
      }),
    recordMint: (record) =>
      carry('recordMint', `${record.leaseId} ${record.outcome}`, () => model.recordMint(record)),
    endTask: (end) => carry('endTask', end.taskId, () => model.endTask(replica, end)),
    endLease: (end) =>
      carry('endLease', `${end.leaseId} ${end.cause}`, () => model.endLease(replica, end)),
    endTimedOutTasks: (limit) =>
      carry('endTimedOutTasks', '', () => model.endTimedOutTasks(limit, heldTask)),
    dueTargets: (countUpTo) => carry('dueTargets', '', () => model.dueTargets(countUpTo)),
    claimDue: (work, target, ...asked) =>
      carry('claimDue', `${work} ${target}`, () => model.claimDue(replica, work, target, ...asked)),
    claimResidue: (limit) => carry('claimResidue', '', () => model.claimResidue(replica, limit)),
    recordDeaths: (deaths, settledBy) =>
      carry('recordDeaths', deaths.map(({ leaseId }) => leaseId).join(), () =>
        model.recordDeaths(replica, deaths, settledBy),
      ),
    recordSettled: (ids, note) =>
      carry('recordSettled', ids.join(), () => model.recordSettled(ids, note)),
    recordResidue: (id, residue, retryInMs) =>
      carry('recordResidue', id, () => model.recordResidue(id, residue, retryInMs)),
    recordLate: (late) =>
      carry('recordLate', late.map(({ leaseId }) => leaseId).join(), () =>
        model.recordLate(replica, late),
      ),
    releaseClaims: () => carry('releaseClaims', '', () => model.releaseClaims(replica)),
    recordResurrected: (leaseId, detail) =>
      carry('recordResurrected', leaseId, () => {
        const lease = tables.leases.get(leaseId);
        if (lease) tables.noteOfLease(model.now(), 'lease.resurrected', lease, { detail });
      }),
    noteCatalogue: (hash, seconds) =>
      carry('noteCatalogue', hash, () => noteCatalogue(tables, model.now(), hash, seconds)),
    fenceUndeclared: (...undeclared) =>
      carry('fenceUndeclared', '', () => fenceUndeclared(tables, model.now(), ...undeclared)),
    takeSelfCheck: (name, seconds) =>
      carry('takeSelfCheck', name, () => takeSelfCheck(tables, model.now(), name, seconds)),
    recordSelfCheck: (name, wrong) =>
      carry('recordSelfCheck', name, () => recordSelfCheck(tables, model.now(), name, wrong)),
    selfCheck: (name) => carry('selfCheck', name, () => selfCheck(tables, model.now(), name)),
    epoch: () => carry('epoch', '', () => readEpoch(tables)),
    raiseEpoch: (from, to, confirmed) =>
      carry('raiseEpoch', '', () => raiseEpoch(tables, model.now(), { from, to, confirmed })),
    beginStop: (stop, limit) =>
      carry('beginStop', stop.id, () => beginStop(tables, model.now(), stop, limit)),
    stops: (seconds) => carry('stops', '', () => olderStops(tables, model.now(), seconds)),
    endStop: (id) => carry('endStop', id, () => void tables.stops.delete(id)),
    exchangesUnderWay: () => carry('exchangesUnderWay', '', () => []),
    beginReconciliation: (pass, dueAfterSeconds) =>
      carry('beginReconciliation', '', () =>
        beginReconciliation(tables, model.now(), replica, pass, dueAfterSeconds),
      ),
    keepReconciliation: (pass) =>
      carry('keepReconciliation', '', () => keepReconciliation(tables, model.now(), replica, pass)),
    endReconciliation: (pass, result) =>
      carry('endReconciliation', '', () => endReconciliation(tables, model.now(), pass, result)),
    lastReconciliation: () => carry('lastReconciliation', '', () => lastReconciliation(tables)),
    openLeases: (limit, cursor) => carry('openLeases', '', () => openLeases(tables, limit, cursor)),
    leasesByName: (names) => carry('leasesByName', '', () => leasesByName(tables, names)),
    leasesByBackendId: (ids, opened) =>
      carry('leasesByBackendId', ids.join(), () => leasesByBackendId(tables, ids, opened)),
    recordEvents: (events) =>
      carry('recordEvents', '', () => recordEvents(tables, model.now(), events)),
    lease: (id) => carry('lease', id, () => tables.leases.get(id) ?? null),
    leaseByName: (name) =>
      carry('leaseByName', name, () => tables.leases.get(tables.byName.get(name) ?? '') ?? null),
    leaseByCredential: (sha256) =>
      carry(
        'leaseByCredential',
        '',
        () => tables.leases.get(tables.byHash.get(sha256.toString('hex')) ?? '') ?? null,
      ),
    leases: (filter, limit, cursor) =>
      carry('leases', '', () => listLeases(tables, model.now(), filter, limit, cursor)),
    task: (id) => carry('task', id, () => tables.tasks.get(id) ?? null),
    tasks: (filter, limit, cursor) =>
      carry('tasks', '', () => listTasks(tables, model.now(), filter, limit, cursor)),
    events: (of) => carry('events', '', () => readEvents(tables, of)),
    lateTargets: (alarms, limit) =>
      carry('lateTargets', '', () => lateTargets(tables, model.now(), alarms, limit)),
    claimAgain: (id, by, reason) =>
      carry('claimAgain', id, () => model.claimAgain(replica, id, by, reason)),
    countClosed: (limit, cursor) =>
      carry('countClosed', '', () => countClosed(tables, limit, cursor)),
    counts: (alarms) => carry('counts', '', () => countLeases(tables, model.now(), alarms)),
  } satisfies Partial<OneTripLedger>;
  return withUnknown<OneTripLedger>(known);
}

/** What the ledger has been given and its model has not says so when it is used. */
function withUnknown<Whole extends object>(known: Partial<Whole>): Whole {
  return new Proxy(known as Whole, {
    get: (methods, name, receiver) =>
      Reflect.has(methods, name)
        ? (Reflect.get(methods, name, receiver) as unknown)
        : () => Promise.reject(new Error(`the ledger's model does not know ${String(name)} yet`)),
  });
}

/** Without network or time between: for the contract. */
export function directLedger(model: ModelLedger, replica: ReplicaOfLedger): Ledger {
  const carry: Carry = (_what, _detail, work) => new Promise((resolve) => resolve(work()));
  return {
    ...oneTripLedger(model, replica, carry),
    openLease: (agent, identifier, admit, key) =>
      carry('openLease', identifier, () => {
        const { tables } = model;
        const facts = readFacts(tables, model.now(), agent.id, identifier, key);
        const admitted = admission(agent.id, facts, identifier, admit);
        if (!admitted.ok) return fail(admitted.failure);
        return succeed(commitOpening(tables, model.now(), replica, agent, facts, admitted.value));
      }),
  };
}
