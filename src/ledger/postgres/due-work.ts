import { sql } from 'kysely';
import type { RawBuilder } from 'kysely';

/** Where a lease lives, as the indexes of what is due have it. */
export const TARGET_OF = sql.raw(`(l.snapshot ->> 'target')`);

/** States are written out: so the partial index of just these states is found. */
export const TO_END: RawBuilder<boolean> = sql.raw(`l.state in ('minting', 'active', 'revoking')`);
export const TO_SETTLE: RawBuilder<boolean> = sql.raw(`l.state = 'revoked'`);
