import type { OpenLease, Page } from '../ledger/ledger.ts';
import { comparePage, nothingLeftOf } from './compare-leases.ts';
import type { Listing } from './compare-leases.ts';
import { endMissingLeases } from './end-missing-leases.ts';
import { endUnknownLeases } from './end-unknown-leases.ts';
import { RECONCILE_PAGE } from './margins.ts';
import type { Pass } from './reconcile-pass.ts';

/**
 * Compares OpenBao's leases below our mounts with the ledger. The listing comes first: what the
 * ledger then does not know was either there before it, or is too young to be judged.
 */
export async function reconcileBackend(pass: Pass): Promise<void> {
  const listed = new Set<string>();
  let mounts = mountsOfCatalogue(pass);
  // Leases may live below mounts that the catalogue has left; the ledger names those.
  while (mounts.length > 0) {
    for (const mount of mounts) listed.add(mount);
    const elsewhere = await reconcileMounts(pass, mounts);
    mounts = elsewhere.filter((mount) => !listed.has(mount));
  }
}

function mountsOfCatalogue({ parts }: Pass): readonly string[] {
  const { targets } = parts.catalogue.current();
  return [...new Set([...targets.values()].map(({ backend }) => backend.mount))];
}

/** Answers the mounts of other leases that it came across. */
async function reconcileMounts(pass: Pass, mounts: readonly string[]): Promise<readonly string[]> {
  const { tally } = pass;
  const listing = await listMounts(pass, mounts);
  tally.backendLeases += listing.ids.size;
  const unknown = new Set(listing.ids);
  const missing: OpenLease[] = [];
  const idNeverCame: OpenLease[] = [];
  const elsewhere = new Set<string>();
  let active = 0;
  for await (const page of openLeases(pass)) {
    const compared = comparePage(listing, page, pass.graceMs);
    for (const id of compared.known) unknown.delete(id);
    missing.push(...compared.missing);
    idNeverCame.push(...compared.idNeverCame);
    for (const mount of compared.elsewhere) elsewhere.add(mount);
    const here = page.filter(({ mount }) => mounts.includes(mount));
    tally.openLeases += here.length;
    active += here.filter(({ state }) => state === 'active').length;
  }
  const outstanding = await endUnknownLeases(pass, [...unknown].sort());
  await endMissingLeases(pass, missing, active);
  const settled = idNeverCame.filter((lease) => nothingLeftOf(lease, listing, outstanding));
  tally.settled += await settle(pass, settled);
  return [...elsewhere];
}

/** A mount that cannot be listed whole is left out: nothing can be said of its leases. */
async function listMounts(pass: Pass, mounts: readonly string[]): Promise<Listing> {
  const { ledger } = pass.parts;
  const listing = {
    begunAt: await ledger.now(),
    mounts: new Set<string>(),
    ids: new Set<string>(),
  };
  for (const mount of mounts) {
    await pass.keep();
    const ids = await listMount(pass, mount);
    if (!ids) continue;
    listing.mounts.add(mount);
    for (const id of ids) listing.ids.add(id);
  }
  return listing;
}

async function listMount(
  { parts, tally, keep }: Pass,
  mount: string,
): Promise<readonly string[] | undefined> {
  const roles = await parts.reaper.roles(mount);
  if (!roles.ok) {
    tally.problem(`mount ${mount}`, roles.failure.detail);
    return undefined;
  }
  const ids: string[] = [];
  for (const role of roles.value) {
    await keep();
    const leases = await parts.reaper.list(mount, role);
    if (!leases.ok) {
      tally.problem(`mount ${mount}`, leases.failure.detail);
      return undefined;
    }
    for (const { id } of leases.value) ids.push(id);
  }
  return ids;
}

async function* openLeases({ parts, keep }: Pass): AsyncGenerator<readonly OpenLease[]> {
  let cursor: string | null = null;
  do {
    await keep();
    const page: Page<OpenLease> = await parts.ledger.openLeases(RECONCILE_PAGE, cursor);
    yield page.items;
    ({ cursor } = page);
  } while (cursor !== null);
}

/** Book-keeping only: these leases are dead, and the listing shows nothing of them. */
async function settle({ parts, dryRun }: Pass, leases: readonly OpenLease[]): Promise<number> {
  if (dryRun || leases.length === 0) return leases.length;
  const settled = await parts.ledger.recordSettled(
    leases.map(({ id }) => id),
    'the backend lists no lease of the time of its mint',
  );
  parts.metrics.settled(settled.length);
  return settled.length;
}
