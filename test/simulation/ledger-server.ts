import { fail, succeed } from '../../src/foundation/result.ts';
import { LedgerUnreachable } from '../../src/ledger/ledger.ts';
import type { ExchangeFacts, Ledger } from '../../src/ledger/ledger.ts';
import { oneTripLedger } from './models/ledger-access.ts';
import type { ReplicaOfLedger } from './models/ledger-fencing.ts';
import type { ModelLedger } from './models/ledger-model.ts';
import { admission, commitOpening, readFacts } from './models/ledger-opening.ts';
import { quarantineAgent, releaseAgent } from './models/ledger-stops.ts';
import type { Network, Outcome, Process, Server } from './network.ts';

/** Milliseconds, as the real ledger's connections are set. */
const ANSWER_TIMEOUT_MS = 7_000;
const LOCK_TIMEOUT_MS = 3_000;
const IDLE_IN_TRANSACTION_MS = 5_000;

type Transaction = {
  readonly name: string;
  readonly process: Process;
  readonly life: number;
  agentId: string;
  taskId: string | null;
};
type Waiter = { readonly isFree: () => boolean; readonly go: () => void };

/** The locks that exchanges hold between the two halves of their transactions. */
export class LedgerServer {
  readonly model: ModelLedger;
  readonly server: Server;
  readonly #network: Network;
  readonly #transactions = new Set<Transaction>();
  #waiters: Waiter[] = [];
  #begun = 0;

  constructor(model: ModelLedger, server: Server, network: Network) {
    this.model = model;
    this.server = server;
    this.#network = network;
  }

  /** The connections of a process that died are closed by its system. */
  processDied(process: Process): void {
    this.#network.time.after(1, () => {
      for (const transaction of [...this.#transactions]) {
        if (transaction.process === process) this.#close(transaction);
      }
    });
  }

  /** A replica's connection to this server. */
  connect(process: Process, replica: ReplicaOfLedger): Ledger {
    const trip = <Value>(
      what: string,
      detail: string,
      work: () => Value,
      isFree: () => boolean = () => true,
    ): Promise<Value> =>
      this.#trip(process, what, detail, (answer) => this.#whenFree(isFree, answer, work));
    const ledger = oneTripLedger(this.model, replica, trip, (id) => this.#isHeld(id));
    return {
      ...ledger,
      // Waits for an exchange that is about to commit below this task.
      endTask: (end) =>
        trip(
          'endTask',
          end.taskId,
          () => this.model.endTask(replica, end),
          () => !this.#isHeld(end.taskId),
        ),
      // Both lock the agent's row, as exchanges do.
      quarantineAgent: (quarantine) =>
        trip(
          'quarantineAgent',
          quarantine.agentId,
          () => quarantineAgent(this.model.tables, this.model.now(), quarantine),
          () => !this.#isLocked(quarantine.agentId),
        ),
      releaseAgent: (release) =>
        trip(
          'releaseAgent',
          release.agentId,
          () => releaseAgent(this.model.tables, this.model.now(), release),
          () => !this.#isLocked(release.agentId),
        ),
      exchangesUnderWay: () =>
        trip('exchangesUnderWay', '', () =>
          [...this.#transactions].filter((one) => this.#isLive(one)).map(({ name }) => name),
        ),
      openLease: (...call) => this.#openLease(process, replica, call),
    };
  }

  async #openLease(
    process: Process,
    replica: ReplicaOfLedger,
    [agent, identifier, admit, key]: Parameters<Ledger['openLease']>,
  ): ReturnType<Ledger['openLease']> {
    const { life } = this.server;
    const name = `transaction-${++this.#begun}`;
    const transaction: Transaction = { name, process, life, agentId: '', taskId: null };
    try {
      const facts = await this.#begin(transaction, agent.id, identifier, key);
      const admitted = admission(agent.id, facts, identifier, admit);
      if (!admitted.ok) {
        this.#closeSoon(transaction);
        return fail(admitted.failure);
      }
      const detail = admitted.value.lease.id;
      return await this.#trip(process, 'openLease.commit', detail, (answer) => {
        if (!this.#isLive(transaction)) {
          answer({ kind: 'thrown', error: new LedgerUnreachable('idle in transaction') });
          return;
        }
        this.#settle(answer, () =>
          succeed(
            commitOpening(
              this.model.tables,
              this.model.now(),
              replica,
              agent,
              facts,
              admitted.value,
            ),
          ),
        );
        this.#close(transaction);
      });
    } catch (error) {
      this.#closeSoon(transaction);
      throw error;
    }
  }

  #begin(
    transaction: Transaction,
    agentId: string,
    identifier: string,
    key: Buffer | undefined,
  ): Promise<ExchangeFacts> {
    const isFree = () => !this.#isLocked(agentId);
    return this.#trip(transaction.process, 'openLease.begin', identifier, (answer) =>
      this.#whenFree(isFree, answer, () => {
        transaction.agentId = agentId;
        const facts = readFacts(this.model.tables, this.model.now(), agentId, identifier, key);
        transaction.taskId = facts.task?.endedAt === null ? facts.task.id : null;
        this.#transactions.add(transaction);
        this.#network.time.after(IDLE_IN_TRANSACTION_MS, () => this.#close(transaction));
        return facts;
      }),
    );
  }

  #isLive(transaction: Transaction): boolean {
    return this.#transactions.has(transaction) && transaction.life === this.server.life;
  }

  #isHeld(taskId: string): boolean {
    return [...this.#transactions].some((one) => one.taskId === taskId && this.#isLive(one));
  }

  #isLocked(agentId: string): boolean {
    return [...this.#transactions].some((one) => one.agentId === agentId && this.#isLive(one));
  }

  /** A roll-back takes its way, or the server notices that its client has gone. */
  #closeSoon(transaction: Transaction): void {
    this.#network.time.after(1, () => this.#close(transaction));
  }

  #close(transaction: Transaction): void {
    if (!this.#transactions.delete(transaction)) return;
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) {
      if (waiter.isFree()) waiter.go();
      else this.#waiters.push(waiter);
    }
  }

  #whenFree<Value>(
    isFree: () => boolean,
    answer: (outcome: Outcome<Value>) => void,
    work: () => Value,
  ): void {
    const { life } = this.server;
    if (isFree()) return this.#settle(answer, work);
    let over = false;
    const timer = this.#network.time.after(LOCK_TIMEOUT_MS, () => {
      over = true;
      answer({ kind: 'thrown', error: new LedgerUnreachable('a row stayed locked for too long') });
    });
    const go = () => {
      if (over || life !== this.server.life) return;
      this.#network.time.cancel(timer);
      this.#settle(answer, work);
    };
    this.#waiters.push({ isFree: () => over || isFree(), go });
  }

  #settle<Value>(answer: (outcome: Outcome<Value>) => void, work: () => Value): void {
    try {
      answer({ kind: 'answered', value: work() });
    } catch (error) {
      answer({ kind: 'thrown', error });
    }
  }

  async #trip<Value>(
    process: Process,
    what: string,
    detail: string,
    work: (answer: (outcome: Outcome<Value>) => void) => void,
  ): Promise<Value> {
    const request = { what, detail, timeoutMs: ANSWER_TIMEOUT_MS, work };
    const outcome = await this.#network.send(process, this.server, request);
    if (outcome.kind === 'answered') return outcome.value;
    if (outcome.kind === 'thrown') throw outcome.error;
    throw new LedgerUnreachable(`the model's ledger: ${outcome.kind}`);
  }
}
