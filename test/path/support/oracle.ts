import pg from 'pg';

/** Looks at target and ledger by plain SQL, with none of the project's code in between. */
export type Oracle = {
  /** Roles of this installation that exist at the target. */
  roles(): Promise<readonly string[]>;
  roleExists(name: string): Promise<boolean>;
  /** Sessions of roles with our names, dropped ones (whose name is gone) included. */
  sessions(): Promise<number>;
  /** Rows of the ledger, counted by state. */
  states(): Promise<Readonly<Record<string, number>>>;
  ledger(sql: string, values?: unknown[]): Promise<Record<string, unknown>[]>;
  target(sql: string, values?: unknown[]): Promise<Record<string, unknown>[]>;
  close(): Promise<void>;
};

export function oracle(ledgerUrl: string, targetUrl: string, installation: string): Oracle {
  const ledger = pool(ledgerUrl);
  const target = pool(targetUrl);
  const pattern = `m${installation}-%`;
  const names = async () => {
    const found = await target.query('select rolname from pg_roles where rolname like $1', [
      pattern,
    ]);
    return found.rows.map((row: { rolname: string }) => row.rolname);
  };
  return {
    roles: names,
    roleExists: async (name) => (await names()).includes(name),
    sessions: async () => {
      const found = await target.query(
        `select count(*)::int as n from pg_stat_activity a
         where a.usesysid is not null
           and (a.usename like $1 or not exists (select from pg_roles r where r.oid = a.usesysid))`,
        [pattern],
      );
      return (found.rows[0] as { n: number }).n;
    },
    states: async () => {
      const found = await ledger.query(
        'select state, count(*)::int as n from mayfly.lease group by state',
      );
      return Object.fromEntries(
        found.rows.map((row: { state: string; n: number }) => [row.state, row.n]),
      );
    },
    ledger: async (sql, values) =>
      (await ledger.query(sql, values)).rows as Record<string, unknown>[],
    target: async (sql, values) =>
      (await target.query(sql, values)).rows as Record<string, unknown>[],
    close: async () => {
      await Promise.all([ledger.end(), target.end()]);
    },
  };
}

function pool(connectionString: string): pg.Pool {
  const made = new pg.Pool({ connectionString, max: 2, connectionTimeoutMillis: 5000 });
  // Servers are stopped on purpose; a query that needs one will say so.
  made.on('error', () => undefined);
  return made;
}
