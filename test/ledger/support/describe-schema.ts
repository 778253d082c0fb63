import pg from 'pg';
import type { SecretText } from '../../../src/foundation/secret-text.ts';

/**
 * Everything that the schema holds, as text with one fact a line, from the server's catalogues: for
 * a dump that can be compared and read in a review. Facts that differ between servers or runs (oids,
 * owners' names, statistics) are left out.
 */
export async function describeSchema(url: SecretText): Promise<string> {
  const client = new pg.Client({ connectionString: url.reveal() });
  await client.connect();
  try {
    await client.query('set search_path = pg_catalog');
    const lines: string[] = [];
    for (const [title, text] of Object.entries(FACTS)) {
      const { rows } = await client.query<{ fact: string }>(
        `select fact from (${text}) as facts (fact) ${ORDERED.includes(title) ? '' : 'order by fact collate "C"'}`,
      );
      lines.push(`# ${title}`, ...rows.map(({ fact }) => fact.replaceAll(/\n\s*/g, ' ')), '');
    }
    return lines.join('\n');
  } finally {
    await client.end();
  }
}

/** Columns stay in the order of the table; a subquery's order holds for a plain select over it. */
const ORDERED = ['columns'];

const TABLES = `(select oid, relname, relacl, reloptions from pg_class
  where relnamespace = to_regnamespace('mayfly') and relkind = 'r') as t`;

const FACTS: Readonly<Record<string, string>> = {
  columns: `select t.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
      || case when a.attnotnull then ' not null' else '' end
      || case when d.adbin is null then ''
         when a.attgenerated = 's' then ' generated ' || pg_get_expr(d.adbin, d.adrelid)
         else ' default ' || pg_get_expr(d.adbin, d.adrelid) end as fact
    from ${TABLES} join pg_attribute as a on a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef as d on d.adrelid = t.oid and d.adnum = a.attnum
    order by t.relname collate "C", a.attnum`,
  storage: `select t.relname || ' ' || array_to_string(t.reloptions, ', ') as fact from ${TABLES}
    where t.reloptions is not null order by t.relname collate "C"`,
  // Not-null constraints have rows of their own from version 18 on; the columns say it already.
  constraints: `select t.relname || ' ' || c.conname || ' ' || pg_get_constraintdef(c.oid) as fact
    from ${TABLES} join pg_constraint as c on c.conrelid = t.oid and c.contype <> 'n'
    order by t.relname collate "C", c.conname collate "C"`,
  indexes: `select pg_get_indexdef(i.indexrelid) as fact
    from ${TABLES} join pg_index as i on i.indrelid = t.oid`,
  triggers: `select pg_get_triggerdef(g.oid) as fact
    from ${TABLES} join pg_trigger as g on g.tgrelid = t.oid and not g.tgisinternal
    order by t.relname collate "C", g.tgname collate "C"`,
  functions: `select pg_get_functiondef(p.oid) as fact from pg_proc as p
    where p.pronamespace = to_regnamespace('mayfly') order by p.proname collate "C"`,
  'rights on tables': `select t.relname || ' ' || pg_get_userbyid(x.grantee) || ' '
      || string_agg(x.privilege_type, ', ' order by x.privilege_type collate "C") as fact
    from ${TABLES}, lateral aclexplode(t.relacl) as x
    where pg_get_userbyid(x.grantee) <> 'mayfly_owner'
    group by t.relname, x.grantee`,
  'rights on columns': `select t.relname || '.' || a.attname || ' ' || pg_get_userbyid(x.grantee)
      || ' ' || x.privilege_type as fact
    from ${TABLES} join pg_attribute as a on a.attrelid = t.oid and a.attacl is not null,
      lateral aclexplode(a.attacl) as x`,
  'rights on functions': `select p.proname || ' ' || case x.grantee when 0 then 'PUBLIC'
      else pg_get_userbyid(x.grantee) end || ' ' || x.privilege_type as fact
    from pg_proc as p, lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as x
    where p.pronamespace = to_regnamespace('mayfly') and x.grantee <> p.proowner`,
};
