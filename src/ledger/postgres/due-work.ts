import { sql } from 'kysely';
import type { RawBuilder } from 'kysely';
import type { EndedBy } from '../ledger.ts';

/** Where a lease lives, as the indexes of what is due have it. */
export const TARGET_OF = sql.raw(`(l.snapshot ->> 'target')`);

/** States are written out: so the partial index of just these states is found. */
export const TO_END: RawBuilder<boolean> = sql.raw(`l.state in ('minting', 'active', 'revoking')`);
/**
 * No column of an index: what is due is read for it, so it is asked for only while a guard is away, or
 * while the backend is at work on what it alone ends.
 */
export const ENDED_BY: Readonly<Record<EndedBy, RawBuilder<boolean>>> = {
  guard: sql.raw(`l.snapshot ->> 'proof' = 'target'`),
  backend: sql.raw(`l.snapshot ->> 'proof' is distinct from 'target'`),
};

export const TO_SETTLE: RawBuilder<boolean> = sql.raw(`l.state = 'revoked'`);
