import type { Revocability } from '../ledger/lease.ts';
import type { Ending, Look } from './target-access.ts';

/** What was done and seen of one credential; every member may be missing but the first. */
export type Findings = {
  readonly ending: Ending;
  /** Undefined: the prover could not be asked. */
  readonly look: Look | undefined;
  /** What the scope declares. */
  readonly declared: Revocability;
  /** The oid that an earlier call saw, from the lease; null: none did. */
  readonly seenOid: number | null;
  /** True where OpenBao said that it made this credential, or its lease's id is known. */
  readonly minted: boolean;
  /**
   * What OpenBao said when it was asked to end it: `revoked`, which ran its own statements, or that it
   * does not know the lease (any more); null: it was not asked, or did not say.
   */
  readonly backendSaid: 'revoked' | 'unknown' | null;
};

/** Why a death is not proven, although nothing was seen alive. */
export type LoweredReason =
  'prover_unreachable' | 'prover_wrong_server' | 'no_positive_control' | 'nobody_saw_it_end';

/** What is stored with the lease: what was asked, where, when, and the answer. JSON as it stands. */
export type Evidence = {
  /**
   * `seen_dead`: the guard saw it and ended it. `backend_revoked`: OpenBao made it and ended it, and
   * the guard never saw it. `backend_lost`: OpenBao made it and does not know it any more, and the
   * guard never saw it. `never_existed`: nobody made it, or a crash of the target took it away, and
   * nobody can make it any more.
   */
  readonly kind: 'seen_dead' | 'backend_revoked' | 'backend_lost' | 'never_existed';
  readonly name: string;
  readonly oid: number | null;
  readonly guard: {
    readonly server: string;
    readonly at: string;
    readonly closing: Ending['closing'];
    readonly ended: boolean;
    readonly residue: string | null;
  };
  readonly prover: {
    readonly server: string;
    readonly at: string;
    readonly role_exists: boolean;
    readonly can_login: boolean;
    readonly sessions: number;
  } | null;
  readonly lowered: LoweredReason | null;
};

export type Verdict =
  | {
      readonly dead: true;
      readonly revocability: Revocability;
      readonly lowered: LoweredReason | null;
      readonly residue: string | null;
      readonly oid: number | null;
      readonly evidence: Evidence;
    }
  | {
      readonly dead: false;
      /** For the list of what is late. Contains no secret. */
      readonly reason: string;
      readonly oid: number | null;
    };

/**
 * Judges whether a credential is dead and whether that is proven. Anything seen alive by either
 * login wins; proof needs a role that was seen before, a prover that looked, and at the same server.
 */
export function judge(findings: Findings): Verdict {
  const { ending, look, seenOid } = findings;
  const oid = ending.oid ?? seenOid;
  const alive = reasonAlive(findings, oid);
  if (alive !== undefined) return { dead: false, reason: alive, oid };
  const lowered = oid === null ? withoutControl(findings) : loweredBy(ending, look);
  return {
    dead: true,
    revocability: classOf(findings.declared, lowered),
    lowered,
    residue: ending.residue ?? leftRole(look),
    oid,
    evidence: evidenceOf(findings, oid, lowered),
  };
}

function reasonAlive(findings: Findings, oid: number | null): string | undefined {
  const { ending, look } = findings;
  if (look !== undefined && look.name !== ending.name) return 'the prover looked for another name';
  if (!ending.ended) return ending.reason ?? 'the guard could not end it';
  if (look !== undefined && look.sessions > 0) {
    return `the prover saw ${look.sessions} session(s) on ${look.server}`;
  }
  if (look?.canLogin === true) return `the prover saw a role that can log in on ${look.server}`;
  // A role that OpenBao made and this server never heard of lives somewhere else.
  if (oid === null && findings.minted && findings.backendSaid === null) {
    return 'the backend made it, but the guard never saw it: is the guard at the right server?';
  }
  return undefined;
}

function withoutControl({ backendSaid }: Findings): LoweredReason {
  return backendSaid === 'unknown' ? 'nobody_saw_it_end' : 'no_positive_control';
}

function loweredBy(ending: Ending, look: Look | undefined): LoweredReason | null {
  if (look === undefined) return 'prover_unreachable';
  return look.server === ending.server ? null : 'prover_wrong_server';
}

/** Scopes may declare less than the target could prove; that is never raised. */
function classOf(declared: Revocability, lowered: LoweredReason | null): Revocability {
  if (lowered === null || declared === 'expiry' || declared === 'static') return declared;
  return lowered === 'nobody_saw_it_end' ? 'expiry' : 'revocable';
}

function leftRole(look: Look | undefined): string | null {
  return look?.roleExists === true ? 'a role without login is still there' : null;
}

function evidenceOf(
  findings: Findings,
  oid: number | null,
  lowered: LoweredReason | null,
): Evidence {
  const { ending, look } = findings;
  return {
    kind: kindOf(findings, oid),
    name: ending.name,
    oid,
    guard: {
      server: ending.server,
      at: ending.targetNow.toISOString(),
      closing: ending.closing,
      ended: ending.ended,
      residue: ending.residue,
    },
    prover: look === undefined ? null : seenBy(look),
    lowered,
  };
}

function kindOf(findings: Findings, oid: number | null): Evidence['kind'] {
  if (oid !== null) return 'seen_dead';
  if (findings.backendSaid === 'unknown') return 'backend_lost';
  return findings.minted || findings.backendSaid === 'revoked'
    ? 'backend_revoked'
    : 'never_existed';
}

function seenBy(look: Look): NonNullable<Evidence['prover']> {
  return {
    server: look.server,
    at: look.at.toISOString(),
    role_exists: look.roleExists,
    can_login: look.canLogin,
    sessions: look.sessions,
  };
}
