import type { Broker, ExchangeGrant } from '../../src/broker/broker.ts';
import type { Result } from '../../src/foundation/result.ts';
import type { Failure } from '../../src/foundation/failure.ts';
import { PERMISSIONS } from '../../src/catalogue/operators.ts';
import { SecretText } from '../../src/foundation/secret-text.ts';
import type { AgentCaller, OperatorCaller } from '../../src/identity/principal.ts';
import { SELECTS_NOTHING } from '../../src/ledger/stop.ts';
import { AGENTS, agentTask, SCOPES } from './catalogue.ts';
import type { Checks, Wanted } from './checks.ts';
import type { ModelLedger } from './models/ledger-model.ts';
import type { ModelTarget } from './models/target-model.ts';
import type { Network } from './network.ts';
import type { Profile } from './profile.ts';
import type { Random } from './random.ts';
import type { Replica } from './replica.ts';

const OPERATOR: OperatorCaller = {
  kind: 'operator',
  name: 'operators|olivia',
  permissions: new Set(PERMISSIONS),
  token: {
    issuer: 'operators',
    use: 'operator',
    subject: 'olivia',
    claims: {},
    expiresAt: new Date(8.64e15),
    sha256: 'operator',
  },
};

type Asking = Wanted & { readonly details: string; readonly key: string | null };

/** Refusals after which a client asks again. */
const RETRIED = new Set([
  'ledger_unreachable',
  'backend_unreachable',
  'backend_sealed',
  'mint_unknown',
  'idempotency_key_in_flight',
  'revocation_backlog',
]);

type Around = {
  readonly network: Network;
  readonly random: Random;
  readonly profile: Profile;
  readonly checks: Checks;
  readonly ledger: ModelLedger;
  readonly targets: ReadonlyMap<string, ModelTarget>;
  readonly replicas: () => readonly Replica[];
  readonly caller: (token: string) => Promise<AgentCaller>;
  readonly onFault: (what: string, error: unknown) => void;
};

/** Agents, operators and attackers: those who ask, hold, hand back, and try to stay. */
export class Holders {
  readonly answers = new Map<string, number>();
  readonly #around: Around;
  readonly #stopped = new Set<string>();
  #asked = 0;
  #identifier = 0;

  constructor(around: Around) {
    this.#around = around;
  }

  /** Begins `lives` exchanges, one after the other; answers when the last was begun. */
  start(lives: number, done: () => void): void {
    const { network, random, profile } = this.#around;
    const one = () => {
      if (this.#asked >= lives) return done();
      this.#ask();
      if (random.chance(0.08)) this.#operate();
      network.time.after(random.between(0, 2 * profile.pauseMs), one);
    };
    one();
  }

  #replica(): Replica | undefined {
    const { random, replicas } = this.#around;
    const alive = replicas().filter(({ process }) => process.alive);
    return alive.length > 0 ? random.pick(alive) : undefined;
  }

  /** A call to a broker: its answer is never heard where the process dies before. */
  #call<Value>(
    what: string,
    call: (broker: Broker) => Promise<Value>,
    heard: (value: Value, replica: Replica) => void,
  ): void {
    const replica = this.#replica();
    if (!replica) return;
    this.#around.network.deliver(replica.process, () => {
      call(replica.broker).then(
        (value) => heard(value, replica),
        (error: unknown) => this.#around.onFault(what, error),
      );
    });
  }

  #ask(): void {
    const { random } = this.#around;
    const agent = random.pick(AGENTS);
    const scope = random.pick(SCOPES);
    if (random.chance(0.4)) this.#identifier++;
    const maxTtl = random.chance(0.5) ? null : random.whole(3, 60);
    const number = ++this.#asked;
    this.#exchange({
      token: `${agent}/instance-${random.whole(1, 3)}/${number}`,
      scope: random.chance(0.02) ? 'no-such-scope' : scope.name,
      details: agentTask(`task-${this.#identifier}`, maxTtl, random.chance(0.03)),
      ttl: random.chance(0.5) ? null : random.whole(2, 60),
      key: random.chance(0.3) ? `key-${number}` : null,
    });
  }

  #exchange(asking: Asking): void {
    const { random, checks, network } = this.#around;
    let heard = false;
    this.#call(
      'exchange',
      (broker) =>
        broker.exchange({
          subjectToken: new SecretText(asking.token),
          actorToken: null,
          scope: asking.scope,
          authorizationDetails: asking.details,
          taskUrns: [],
          ttlSeconds: asking.ttl,
          idempotencyKey: asking.key,
        }),
      (outcome, replica) => {
        const said = outcome.ok ? outcome.value.lease.id : outcome.failure.reason;
        network.trace(() => `${replica.process.name} answers ${asking.token}: ${said}`);
        checks.answered(asking, outcome);
        this.#count(outcome);
        if (outcome.ok) heard = this.#hand(asking.token, outcome.value, replica);
        else heard = !RETRIED.has(outcome.failure.reason);
      },
    );
    // With a key a client that heard nothing, or of a passing failure, asks again.
    if (asking.key === null) return;
    network.time.after(random.between(1_000, 15_000), () => {
      if (!heard) this.#exchange({ ...asking, token: `${asking.token}+` });
    });
  }

  #count(outcome: Result<unknown, Failure>): void {
    const key = outcome.ok ? 'granted' : outcome.failure.reason;
    this.answers.set(key, (this.answers.get(key) ?? 0) + 1);
  }

  /** The answer travels to its caller, and may not get there: false. */
  #hand(token: string, grant: ExchangeGrant, replica: Replica): boolean {
    const { network, random, profile, checks } = this.#around;
    if (random.chance(profile.lostAnswers)) {
      // A broker hears of a connection that was closed; of a caller that vanished it does not.
      if (random.chance(0.7)) {
        network.time.after(random.between(0, 5), () =>
          network.deliver(replica.process, () => {
            replica.broker
              .answerLost(grant.lease.id)
              .catch((error: unknown) => this.#around.onFault('answerLost', error));
          }),
        );
      }
      return false;
    }
    network.time.after(random.between(0, 3), () => {
      if (!replica.process.alive) return;
      checks.handedOut.add(grant.lease.id);
      this.#hold(token, grant);
    });
    return true;
  }

  #hold(token: string, grant: ExchangeGrant): void {
    const { network, random, profile, targets } = this.#around;
    const { lease, credential } = grant;
    const target = targets.get(lease.snapshot.target);
    const lifeMs = grant.expiresInSeconds * 1000;
    const within = (share: number) => random.between(0, lifeMs * share);
    const logIn = () => target?.login(credential.username);
    for (let times = random.whole(0, 3); times > 0; times--) {
      network.time.after(within(1.5), logIn);
    }
    if (target && random.chance(profile.hostile)) this.#resist(target, credential.username, lifeMs);
    const pick = random.fraction();
    if (pick < 0.45) network.time.after(within(0.9), () => this.#complete(token, grant));
    else if (pick < 0.6) network.time.after(within(0.9), () => this.#handBack(token, grant));
  }

  /** What holders do to stay: locks, sessions that do not die, things that others depend on. */
  #resist(target: ModelTarget, name: string, lifeMs: number): void {
    const { network, random } = this.#around;
    target.login(name);
    const role = target.roles.get(name);
    if (!role) return;
    const { nowMs } = network.time;
    const until = () => nowMs + random.between(0, lifeMs + 15_000);
    if (random.chance(0.3)) role.lockedUntilMs = until();
    if (random.chance(0.3)) role.stubbornUntilMs = until();
    if (random.chance(0.3)) {
      role.pinned = true;
      network.time.after(random.between(0, 120_000), () => (role.pinned = false));
    }
    const again = () => {
      if (!target.lives(name)) return;
      target.login(name);
      network.time.after(random.between(1, 400), again);
    };
    if (random.chance(0.5)) again();
  }

  #complete(token: string, { task }: ExchangeGrant): void {
    const { random, checks, network } = this.#around;
    const wait = random.pick([0, 1, 10]);
    void this.#around.caller(token).then((caller) =>
      this.#call(
        'complete',
        (broker) =>
          broker.completeTask(caller, task.id, { outcome: 'succeeded', note: null }, wait),
        (ended) => {
          if (ended.ok && ended.value.allDead) {
            checks.answeredDead(ended.value.task, ended.value.leases);
          }
          if (random.chance(0.2)) {
            network.time.after(random.between(0, 3_000), () =>
              this.#complete(token, { task } as ExchangeGrant),
            );
          }
        },
      ),
    );
  }

  #handBack(token: string, { credential }: ExchangeGrant): void {
    void this.#around.caller(token).then((caller) =>
      this.#call(
        'hand back',
        (broker) => broker.revokeCredential(caller, credential.uri),
        () => undefined,
      ),
    );
  }

  /** An operator ends a lease or a task that the list shows. */
  #operate(): void {
    const { random, ledger, checks } = this.#around;
    if (random.chance(0.2)) return this.#quarantine(random.pick(AGENTS));
    if (random.chance(0.15)) return this.#revokeSelected();
    const ids = [...ledger.tables.pending];
    const lease = ledger.tables.leases.get(ids[random.whole(0, ids.length - 1)] ?? '');
    if (!lease) return;
    const wait = random.pick([0, 1, 10]);
    if (random.chance(0.6)) {
      this.#call(
        'revoke a lease',
        (broker) => broker.revokeLease(OPERATOR, lease.id, 'simulated', wait),
        () => undefined,
      );
      return;
    }
    this.#call(
      'revoke a task',
      (broker) => broker.revokeTask(OPERATOR, lease.taskId, 'simulated', wait),
      (ended) => {
        if (ended.ok && ended.value.allDead) {
          checks.answeredDead(ended.value.task, ended.value.leases);
        }
      },
    );
  }

  #revokeSelected(): void {
    const { random, checks, network } = this.#around;
    const chosen = random.chance(0.5)
      ? { scope: random.pick(SCOPES).name }
      : { agentId: random.pick(AGENTS), instance: `instance-${random.whole(1, 3)}` };
    const selector = { ...SELECTS_NOTHING, ...chosen };
    const askedAtMs = network.time.nowMs;
    this.#call(
      'revoke what is selected',
      (broker) =>
        broker.revokeSelected(OPERATOR, { selector, reason: 'simulated', dryRun: false }, 1),
      (outcome) => {
        if (outcome.ok && outcome.value.underWay === 0) {
          checks.revokedSelected(selector, askedAtMs);
        }
      },
    );
  }

  /** One at a time of each agent, and released some time after. */
  #quarantine(agentId: string): void {
    const { random, checks, network } = this.#around;
    if (this.#stopped.has(agentId)) return;
    this.#stopped.add(agentId);
    let [released, over] = [false, false];
    this.#call(
      'quarantine',
      (broker) => broker.quarantine(OPERATOR, agentId, 'simulated', random.pick([0, 1, 10])),
      (outcome) => {
        if (outcome.ok && !released) checks.quarantined(agentId, outcome.value.leases.dying);
      },
    );
    const release = () => {
      if (over) return;
      released = true;
      checks.released(agentId);
      this.#call(
        'release',
        (broker) => broker.release(OPERATOR, agentId, 'simulated'),
        (outcome) => {
          if (!outcome.ok || over) return;
          over = true;
          // One that was sent twice may still take effect, and is not to meet the next quarantine.
          network.time.after(120_000, () => this.#stopped.delete(agentId));
        },
      );
      network.time.after(random.between(1_000, 10_000), release);
    };
    network.time.after(random.between(500, 20_000), release);
  }
}
