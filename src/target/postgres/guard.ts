import { parseName } from '../credential-name.ts';
import type { Guard, GuardedName } from '../target-access.ts';
import { TargetUnreachable } from '../target-unreachable.ts';
import { endNames } from './end-names.ts';
import { quoteIdentifier } from './quoting.ts';
import { schemaOf } from './schema-name.ts';
import type { WarmConnections } from './warm-connections.ts';

/** Asking for overdue names, which every sweep does, also forgets old ones every so many times. */
const TIDY_EVERY = 600;

const UNDEFINED_FUNCTION = '42883';

type ListedRow = {
  credential: string;
  role: string | null;
  can_login: boolean;
  deadline: Date;
  registered: boolean;
};

/**
 * The guard over its login's connections.
 *
 * @param expectedServer endings by any other server are refused; undefined: the first is believed
 */
export function postgresGuard(
  connections: WarmConnections,
  installation: string,
  lanes: number,
  expectedServer?: string,
): Guard {
  const schema = quoteIdentifier(schemaOf(installation));
  const list = { name: 'list', text: `select * from ${schema}.list()` };
  const overdue = { name: 'overdue', text: `select * from ${schema}.overdue($1)` };
  // The same where the schema is older than this broker: it costs in proportion to all that live.
  const overdueOfAll = {
    name: 'overdue-of-all',
    text: `select * from ${schema}.list() where deadline < pg_catalog.clock_timestamp()
        and (can_login or role in
          (select s.usesysid from pg_catalog.pg_stat_get_activity(null) s))
      order by can_login desc, deadline limit $1`,
  };
  const tidy = { name: 'tidy', text: `select ${schema}.tidy()` };
  const now = { name: 'now', text: 'select pg_catalog.clock_timestamp() as now' };
  const end = endNames(connections, installation, lanes, expectedServer);
  let asked = 0;
  let isOlder = false;

  const askOverdue = async (limit: number): Promise<ListedRow[]> => {
    if (!isOlder) {
      try {
        return await connections.ask<ListedRow>(overdue, [limit]);
      } catch (error) {
        if ((error as { code?: unknown }).code !== UNDEFINED_FUNCTION) throw error;
        isOlder = true;
      }
    }
    return connections.ask<ListedRow>(overdueOfAll, [limit]);
  };

  return {
    async end(names) {
      for (const name of names) {
        if (parseName(name)?.installation !== installation) {
          throw new RangeError(`the guard of installation ${installation} ends only its own names`);
        }
      }
      return end(names);
    },
    async overdue(limit) {
      if (asked++ % TIDY_EVERY === 0) {
        // The schema may have been renewed since.
        isOlder = false;
        await connections.ask(tidy, []);
      }
      return (await askOverdue(limit)).map(guardedName);
    },
    async list() {
      return (await connections.ask<ListedRow>(list, [])).map(guardedName);
    },
    async now() {
      const [row] = await connections.ask<{ now: Date }>(now, []);
      if (row === undefined) throw new TargetUnreachable('the guard gave no answer');
      return row.now;
    },
  };
}

function guardedName(row: ListedRow): GuardedName {
  return {
    name: row.credential,
    oid: row.role === null ? null : Number(row.role),
    canLogin: row.can_login,
    deadline: row.deadline,
    registered: row.registered,
  };
}
