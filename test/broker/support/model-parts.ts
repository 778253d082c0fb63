import { createBackground } from '../../../src/broker/background.ts';
import { createCircuits } from '../../../src/broker/circuits.ts';
import { endDue, nothingInHand } from '../../../src/broker/end-due.ts';
import { nobodyWaiting } from '../../../src/broker/waiting.ts';
import type { BrokerParts } from '../../../src/broker/parts.ts';
import type { Clock } from '../../../src/foundation/clock.ts';
import { createLog } from '../../../src/foundation/log.ts';
import { createMetrics } from '../../../src/foundation/metrics.ts';
import { SecretText } from '../../../src/foundation/secret-text.ts';
import type { Lease } from '../../../src/ledger/lease.ts';
import { openReaper } from '../../../src/mint/reaper.ts';
import { encodeName } from '../../../src/target/credential-name.ts';
import { TargetUnreachable } from '../../../src/target/target-unreachable.ts';
import { active, death, ids, inSeconds, open } from '../../ledger/support/examples.ts';
import { simulatedCatalogue } from '../../simulation/catalogue.ts';
import { ModelBackend } from '../../simulation/models/backend-model.ts';
import { modelPort } from '../../simulation/models/backend-port.ts';
import { directLedger } from '../../simulation/models/ledger-access.ts';
import { ModelLedger } from '../../simulation/models/ledger-model.ts';
import { carryNow, modelAccess } from '../../simulation/models/target-access.ts';
import { ModelTarget } from '../../simulation/models/target-model.ts';

const INSTALLATION = 'm0de';
const MOUNT = 'mayfly-database';
const START_MS = Date.UTC(2026, 0, 1);

/** Seconds of a lease's life. */
const LIFE_SECONDS = 300;

/** A target, and what its network does. */
class Place {
  readonly model: ModelTarget;
  away = false;
  /** The guard's and the prover's logins are refused; everybody else's work. */
  lockedOut = false;
  /** Resolves when it answers again. */
  frozen: Promise<void> | undefined;
  /** Calls that end this name take longer than a call may. */
  tooSlow: string | undefined;
  /** Endings that were asked for there. */
  endings = 0;

  constructor(name: string, nowMs: () => number) {
    this.model = new ModelTarget(`1/${name}`, INSTALLATION, nowMs);
  }
}

/** What OpenBao and its network do. */
type OpenBao = {
  away: boolean;
  /** What was asked of it. */
  revocations: number;
  /** Resolves when it answers again. */
  frozen: Promise<void> | undefined;
};

/**
 * The parts that endings, settlings and residues work with: the real ones over models, with a clock
 * that the test moves. `orders` and `billing` have a guard, `legacy` has none.
 */
export function modelParts() {
  let ms = 0;
  const nowMs = () => START_MS + ms;
  const clock: Clock = {
    now: () => new Date(nowMs()),
    monotonicMs: () => ms,
    sleep: () => Promise.resolve(),
    alarm: () => () => undefined,
  };
  const place = (name: string) => [name, new Place(name, nowMs)] as const;
  const newPlaces = () => new Map(['orders', 'billing', 'legacy'].map(place));
  const places = newPlaces();
  const at = (name: string) => {
    const found = places.get(name);
    if (!found) throw new Error(`no target ${name}`);
    return found;
  };
  const openBao: OpenBao = { away: false, revocations: 0, frozen: undefined };
  const backend = makeBackend(places, nowMs);
  const model = new ModelLedger(() => new Date(nowMs()), INSTALLATION);
  const ledger = directLedger(model, { name: 'replica', claimSeconds: 20 });
  const errors: string[] = [];
  const log = createLog('error', { write: (line: string) => void errors.push(line) });
  const metrics = createMetrics();
  const parts = {
    catalogue: { current: simulatedCatalogue },
    ledger,
    reaper: makeReaper(backend, openBao, log),
    targets: makeTargets(places),
    ...{ clock, ids, log, metrics },
    background: createBackground(clock, log),
    circuits: createCircuits({ clock, ids, log, metrics }),
    waiting: nobodyWaiting(clock),
  } as unknown as BrokerParts;

  /** What is committed before the mint. */
  function promise(target: string, proof: Lease['snapshot']['proof']) {
    const id = ids.uuid();
    const deadline = inSeconds(clock.now(), LIFE_SECONDS);
    const revocability = proof === 'backend' ? ('revocable' as const) : ('proven' as const);
    const snapshot = {
      ...{ target, kind: 'postgres' as const, mount: MOUNT, config: target, role: target, proof },
      ...{ tokenRole: `mayfly-${target}`, catalogueHash: 'c0ffee' },
    };
    const credentialName = encodeName({ installation: INSTALLATION, leaseId: id, deadline });
    return { id, deadline, revocability, snapshot, credentialName };
  }

  function makeUser(target: string, name: string): void {
    const { model: server } = at(target);
    server.beginMake(name);
    server.commitMake(name);
  }

  /** A lease with its user at the target, or at another server, and its lease in OpenBao. */
  async function lease(target: string, proof = proofAt(target), server = target): Promise<Lease> {
    const promised = promise(target, proof);
    const { credentialName: name, deadline } = promised;
    makeUser(server, name);
    const made = await active(ledger, { lease: promised });
    const life = { issuedAtMs: nowMs(), expiresAtMs: deadline.getTime() + 30_000 };
    const kept = made.backendLeaseId ?? '';
    const { mount, role } = promised.snapshot;
    backend.leases.set(kept, { id: kept, name, mount, role, ...life, attempts: 0 });
    return made;
  }

  /** One whose user was made, and whose id in OpenBao never came: fenced, and nobody holds it. */
  async function leaseInDoubt(target: string, proof = proofAt(target)): Promise<Lease> {
    const promised = promise(target, proof);
    makeUser(target, promised.credentialName);
    await open(ledger, { lease: promised });
    const unknown = { outcome: 'unknown', backendLeaseId: null, credentialSha256: null } as const;
    return ledger.recordMint({ leaseId: promised.id, ...unknown });
  }

  /** One that is dead at its target and not settled yet. */
  async function deadLease(target: string, residue: string | null = null): Promise<Lease> {
    const { id } = await lease(target);
    await ledger.endLease({ leaseId: id, cause: 'operator', reason: null, by: 'olivia' });
    const [dead] = await ledger.recordDeaths([death(id, { residue })]);
    if (!dead) throw new Error('it did not die');
    return dead;
  }

  /** One that is settled, and left a role behind that is dropped at the next attempt. */
  async function residue(target: string): Promise<Lease> {
    const { id } = await deadLease(target, 'other objects depend on it');
    const [settled] = await ledger.recordSettled([id], 'revoked at the backend');
    if (!settled) throw new Error('it was not settled');
    return settled;
  }

  return {
    ...{ parts, at, openBao, lease, leaseInDoubt, deadLease, residue },
    now: (one: Lease) => model.tables.leases.get(one.id),
    canLogin: ({ snapshot, credentialName }: Lease) =>
      at(snapshot.target).model.roles.get(credentialName)?.canLogin === true,
    /** As a restore of OpenBao does, or a mount that is taken away by force. */
    forget: ({ backendLeaseId }: Lease) => backend.leases.delete(backendLeaseId ?? ''),
    /** What the sweep does of one target. */
    sweepAt: (target: string) =>
      endDue(parts, nothingInHand(), target, { claimed: 0, died: 0, settling: 0 }),
    /** Until nothing goes on behind it any more. */
    behind: async () => {
      while (parts.background.size() > 0) await new Promise((resolve) => setImmediate(resolve));
    },
    all: () => [...model.tables.leases.values()],
    /** What was logged as an error. */
    errors: () => errors,
    /** The same parts, but guards and provers look at other servers than OpenBao. */
    astray: (): BrokerParts => ({ ...parts, targets: makeTargets(newPlaces()) }),
    pass: (seconds: number) => (ms += seconds * 1000),
  };
}

function proofAt(target: string): Lease['snapshot']['proof'] {
  return target === 'legacy' ? 'backend' : 'target';
}

function makeTargets(places: ReadonlyMap<string, Place>): BrokerParts['targets'] {
  const guarded = [...places].filter(([name]) => name !== 'legacy');
  const access = new Map(
    guarded.map(([name, place]) => [
      name,
      modelAccess(place.model, INSTALLATION, 4, async (what, detail, work) => {
        if (what === 'finish') place.endings++;
        await place.frozen;
        if (place.away || place.lockedOut) throw new TargetUnreachable('no connection');
        if (what === 'finish' && place.tooSlow && detail.includes(place.tooSlow)) {
          throw Object.assign(new Error('canceling statement'), { code: '57014' });
        }
        return carryNow(what, detail, work);
      }),
    ]),
  );
  return { access: (name) => access.get(name), names: () => [...access.keys()] };
}

function makeBackend(places: ReadonlyMap<string, Place>, nowMs: () => number): ModelBackend {
  return new ModelBackend({
    // OpenBao's own end of a lease lies behind these tests.
    pace: { nowMs, after: (ms, run) => void (ms < 1000 && setImmediate(run)) },
    roles: [...places].map(([name, place]) => ({
      ...{ mount: MOUNT, config: name, role: name, tokenRole: `mayfly-${name}` },
      maxTtlMs: 360_000,
      link: {
        target: place.model,
        reach: (heard, lost) => (place.away ? lost() : heard()),
      },
    })),
    fate: () => {
      throw new Error('nothing is minted here');
    },
    secret: () => ids.password(),
  });
}

function makeReaper(
  backend: ModelBackend,
  openBao: OpenBao,
  log: BrokerParts['log'],
): BrokerParts['reaper'] {
  const port = modelPort(backend, async (_what, _detail, _bounds, work) => {
    openBao.revocations++;
    await openBao.frozen;
    return openBao.away ? 'unsent' : new Promise(work);
  });
  const token = new SecretText('session');
  const session = {
    start: () => Promise.resolve(),
    stop: () => Promise.resolve(),
    call: (work: (held: SecretText) => ReturnType<typeof port.read>) => work(token),
    isLoggedIn: () => true,
  };
  return openReaper({ port, session, log });
}
