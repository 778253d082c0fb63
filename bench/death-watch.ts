import pg from 'pg';

/** Watches the target by an own connection, so that "dead" is not only our own word. */
export type DeathWatch = {
  /** Resolves with `performance.now()` of the first look that found no such role. */
  gone(role: string): Promise<number>;
  close(): Promise<void>;
};

export async function deathWatch(targetUrl: string): Promise<DeathWatch> {
  const client = new pg.Client({ connectionString: targetUrl });
  await client.connect();
  return {
    async gone(role) {
      for (;;) {
        const found = await client.query({
          name: 'death-watch',
          text: 'select from pg_roles where rolname = $1',
          values: [role],
        });
        if (found.rowCount === 0) return performance.now();
      }
    },
    close: () => client.end(),
  };
}
