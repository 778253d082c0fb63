import type { OpenLease } from '../ledger/ledger.ts';
import { MINT_WINDOW_SECONDS, SKEW_ALLOWED_MS } from './margins.ts';

/** What OpenBao listed below our mounts. */
export type Listing = {
  /** The ledger's clock before the first LIST. */
  readonly begunAt: Date;
  /** Mounts that were listed whole. */
  readonly mounts: ReadonlySet<string>;
  readonly ids: ReadonlySet<string>;
};

export type Compared = {
  /** Ids of the listing that the ledger knows. */
  readonly known: readonly string[];
  /** Active well before the listing, and not in it. */
  readonly missing: readonly OpenLease[];
  /** Dead, something may have been minted, and its id never came. */
  readonly idNeverCame: readonly OpenLease[];
  /** Mounts of these leases that were not listed. */
  readonly elsewhere: readonly string[];
};

/** Compares one page of the ledger with what the backend listed before it. */
export function comparePage(
  listing: Listing,
  page: readonly OpenLease[],
  graceMs: number,
): Compared {
  const youngest = listing.begunAt.getTime() - graceMs;
  const here = page.filter(({ mount }) => listing.mounts.has(mount));
  return {
    known: page.flatMap(({ backendLeaseId: id }) =>
      id !== null && listing.ids.has(id) ? [id] : [],
    ),
    missing: here.filter(
      ({ state, backendLeaseId: id, activatedAt }) =>
        state === 'active' &&
        id !== null &&
        !listing.ids.has(id) &&
        activatedAt !== null &&
        activatedAt.getTime() < youngest,
    ),
    idNeverCame: here.filter(
      ({ state, backendLeaseId: id, mintOutcome }) =>
        state === 'revoked' && id === null && (mintOutcome === null || mintOutcome === 'unknown'),
    ),
    elsewhere: [
      ...new Set(page.map(({ mount }) => mount).filter((mount) => !listing.mounts.has(mount))),
    ],
  };
}

/** An id that the ledger does not know and that is still there, with its making if known. */
export type Outstanding = { readonly id: string; readonly issuedAt: Date | null };

/**
 * True where the listing proves that the backend holds nothing of a lease whose id never came: it
 * was begun when no mint of it could be under way any more, and no unknown id is from its window.
 */
export function nothingLeftOf(
  lease: OpenLease,
  listing: Listing,
  outstanding: readonly Outstanding[],
): boolean {
  const opened = lease.createdAt.getTime();
  const closed = opened + MINT_WINDOW_SECONDS * 1000;
  if (listing.begunAt.getTime() < closed) return false;
  return outstanding.every(({ id, issuedAt }) => {
    if (!id.startsWith(`${lease.mount}/creds/${lease.role}/`)) return true;
    if (issuedAt === null) return false;
    const at = issuedAt.getTime();
    return at < opened - SKEW_ALLOWED_MS || at > closed + SKEW_ALLOWED_MS;
  });
}
