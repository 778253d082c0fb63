import type { Lease } from '../ledger/lease.ts';
import { parseName } from '../target/credential-name.ts';
import type { GuardedName } from '../target/target-access.ts';
import { diedBefore } from './end-overdue-names.ts';
import { isDead } from './end-until-dead.ts';
import { SKEW_ALLOWED_MS } from './margins.ts';

/**
 * What a user of our installation at a target is.
 * - `known`: its lease lives, or died while we looked.
 * - `residue`: disabled, and listed as such with its lease.
 * - `young`: no lease, but too young to be told from one on trial (`mayfly doctor`).
 * - `no_lease`: no lease has its name.
 * - `risen`: its lease is closed, and it can log in or is logged in.
 * - `left`: its lease is closed; it cannot log in, and nothing says why it is there.
 */
export type UserVerdict = 'known' | 'residue' | 'young' | 'no_lease' | 'risen' | 'left';

/**
 * @param listedAtMs the target's clock before it listed its users
 */
export function judgeUser(
  user: GuardedName,
  lease: Lease | undefined,
  listedAtMs: number,
  graceMs: number,
): UserVerdict {
  if (!lease) return isYoung(user.name, listedAtMs, graceMs) ? 'young' : 'no_lease';
  if (!isDead(lease) || !diedBefore(lease, listedAtMs)) return 'known';
  if (user.canLogin) return 'risen';
  return lease.residue === null ? 'left' : 'residue';
}

/** The lease id in a name tells when it was made; one from the future tells nothing. */
function isYoung(name: string, listedAtMs: number, graceMs: number): boolean {
  const id = parseName(name)?.leaseId;
  if (id === undefined || id[14] !== '7') return false;
  const ageMs = listedAtMs - Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
  return ageMs < graceMs && ageMs > -SKEW_ALLOWED_MS;
}
