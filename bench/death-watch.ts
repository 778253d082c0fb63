import pg from 'pg';

/** Watches the target by an own connection, so that "dead" is not only our own word. */
export type DeathWatch = {
  /** Resolves with the Unix milliseconds, with fractions, at which the role was found gone. */
  gone(role: string): Promise<number>;
  close(): Promise<void>;
};

/**
 * The watch waits at the server, with a pause of half a millisecond between looks: a loop over the
 * wire would take a good part of one core from what is measured.
 */
const WATCH = `
  create function pg_temp.gone(watched text) returns double precision language plpgsql as $$
  begin
    while exists (select from pg_authid where rolname = watched) loop
      perform pg_sleep(0.0005);
    end loop;
    return extract(epoch from clock_timestamp()) * 1000;
  end
  $$`;

export async function deathWatch(targetUrl: string): Promise<DeathWatch> {
  const client = new pg.Client({ connectionString: targetUrl });
  await client.connect();
  await client.query(WATCH);
  return {
    async gone(role) {
      const answer = await client.query<{ at: number }>({
        name: 'death-watch',
        text: 'select pg_temp.gone($1) as at',
        values: [role],
      });
      return answer.rows[0]?.at ?? NaN;
    },
    close: () => client.end(),
  };
}
