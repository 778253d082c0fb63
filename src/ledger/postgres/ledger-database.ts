import type { Kysely } from 'kysely';
import type { LedgerPool } from './ledger-pool.ts';
import type { LeaseRow } from './lease-row.ts';
import type { TaskRow } from './task-row.ts';

/** The tables that lists are built on; all else is written as SQL. */
export type LedgerTables = {
  'mayfly.lease': LeaseRow & { due_at: Date | null; credential_sha256: Buffer | null };
  'mayfly.task': TaskRow;
};

/** What every operation works with. */
export type LedgerDatabase = {
  readonly db: Kysely<LedgerTables>;
  /** The connections below `db`, for what does not wait for each answer. */
  readonly pool: LedgerPool;
  /** This process, as the owner of claims. */
  readonly replica: string;
  /** Seconds until a claim of this replica lapses. */
  readonly claimSeconds: number;
};
