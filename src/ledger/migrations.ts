/** One numbered step of the ledger's schema. */
export type Migration = {
  readonly version: number;
  readonly file: string;
  /**
   * The oldest `KNOWN_VERSION` of a broker that still works on the schema after this step. A step
   * that only adds names an older one than itself; a step that takes away names itself.
   */
  readonly minReader: number;
};

/** All steps, in order. Files that were released are never changed: their checksums are recorded. */
export const MIGRATIONS: readonly Migration[] = [
  { version: 1, file: '0001_records.sql', minReader: 1 },
  { version: 2, file: '0002_operations.sql', minReader: 2 },
  { version: 3, file: '0003_end_causes.sql', minReader: 2 },
  { version: 4, file: '0004_due_by_target.sql', minReader: 2 },
  { version: 5, file: '0005_idempotency.sql', minReader: 2 },
  // A broker that does not look at quarantine must not grant anything beside one that does.
  { version: 6, file: '0006_stops.sql', minReader: 6 },
  { version: 7, file: '0007_reconciliation.sql', minReader: 2 },
  { version: 8, file: '0008_bounded_end_task.sql', minReader: 6 },
  { version: 9, file: '0009_epoch.sql', minReader: 6 },
  { version: 10, file: '0010_end_task_by_index.sql', minReader: 6 },
];

/** The schema that this code was written for. */
export const KNOWN_VERSION = MIGRATIONS.length;

/** Rights, applied after the steps, every time. */
export const GRANTS_FILE = 'grants.sql';

/** Where the files lie, seen from the sources and from the built package alike. */
export const MIGRATIONS_FOLDER = new URL('../../migrations/', import.meta.url);
