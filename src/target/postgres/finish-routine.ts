import { quoteIdentifier } from './quoting.ts';
import { LOCK_PATIENCE_MS } from './routine.ts';
import type { Routine } from './routine.ts';
import { schemaOf } from './schema-name.ts';

/**
 * Milliseconds that one step of a batch waits for locks in all, before it asks for each further
 * lock with the short patience: a few hostile holders must not delay everybody else's ending.
 */
const STEP_BUDGET_MS = 2 * LOCK_PATIENCE_MS;
const SHORT_PATIENCE_MS = 10;

/** For steps that the last one's commit flushes with its own: a commit flushes all before it. */
const LATER_FLUSHED = `perform pg_catalog.set_config('synchronous_commit', 'off', true);`;
const PATIENCE = `case when pg_catalog.clock_timestamp() > started + interval '${STEP_BUDGET_MS} ms'
        then ${SHORT_PATIENCE_MS} else ${LOCK_PATIENCE_MS} end`;
const START = `started := pg_catalog.clock_timestamp();`;

/**
 * Ends many names in one round trip, each step for all of them before its commit, and goes through
 * all steps again, up to `passes` times, for those that still stand. It has neither
 * SECURITY DEFINER nor settings of its own, since only then may a procedure commit: the guard calls
 * it with its own narrow rights, and the steps have theirs.
 */
export function finishRoutine(installation: string): Routine {
  const schema = quoteIdentifier(schemaOf(installation));
  const forAll = (condition: string, what: string) => `
    ${START}
    for i in 1..total loop
      continue when done[i] or not (${condition});
      ${what}
    end loop;`;
  const kickAll = `
    alive := array(select roles[x] from pg_catalog.generate_series(1, total) x
      where not done[x] and roles[x] is not null);
    remaining := ${schema}.kick(alive, null);
    commit;`;
  return {
    kind: 'procedure',
    name: 'finish',
    declared: 'credentials text[], passes integer, inout answer jsonb',
    identity: 'text[], integer, jsonb',
    definer: false,
    settings: [],
    for: 'guard',
    body: `${PREPARE}
  for pass in 1..passes loop
    ${forAll(
      `closings[i] = 'in_flight'`,
      `select * into step from ${schema}.close(names[i], ${PATIENCE});
      closings[i] := step.state;
      roles[i] := step.role;
      reasons[i] := step.reason;
      done[i] := step.state in ('nothing', 'refused');`,
    )}
    -- "Nothing, and nothing will be" must outlive a crash; for the others a later step is flushed.
    if not ('nothing' = any (closings)) then
      ${LATER_FLUSHED}
    end if;
    commit;
    ${LATER_FLUSHED}
    if total > 1 then
      perform ${schema}.strip_all(array(select names[x] from pg_catalog.generate_series(1, total) x
        where not done[x] and closings[x] = 'alive'), null);
    end if;
    ${forAll(`closings[i] = 'alive'`, `perform ${schema}.strip(names[i], ${PATIENCE});`)}
    commit;
    ${kickAll}
    ${LATER_FLUSHED}
    ${forAll(`closings[i] = 'alive'`, `perform ${schema}.shut(names[i], ${PATIENCE});`)}
    commit;
    ${kickAll}
    ${forAll(
      `closings[i] = 'alive'`,
      `select * into step from ${schema}."end"(names[i], ${PATIENCE});
      states[i] := step.state;
      reasons[i] := step.reason;`,
    )}
    commit;
    ${kickAll}
    for i in 1..total loop
      continue when done[i] or states[i] is null;
      if roles[i] = any (remaining) then
        reasons[i] := pg_catalog.concat_ws('; ', reasons[i], 'sessions remain');
      else
        done[i] := states[i] in ('gone', 'disabled');
      end if;
    end loop;
    exit when not (false = any (done));
  end loop;
${REPLY}`,
  };
}

const PREPARE = `
declare
  names text[];
  total integer;
  closings text[];
  roles oid[];
  states text[];
  reasons text[];
  done boolean[];
  alive oid[];
  remaining oid[];
  step record;
  started timestamptz;
begin
  -- Sorted, so that two endings of the same names never wait for each other in a ring.
  names := array(select distinct x collate "C" from pg_catalog.unnest(credentials) x order by 1);
  total := pg_catalog.cardinality(names);
  closings := pg_catalog.array_fill('in_flight'::text, array[total]);
  roles := pg_catalog.array_fill(null::oid, array[total]);
  states := pg_catalog.array_fill(null::text, array[total]);
  reasons := pg_catalog.array_fill(null::text, array[total]);
  done := pg_catalog.array_fill(false, array[total]);`;

/**
 * Which server answers: the cluster's identifier, whether it is a standby (which says nothing about
 * sessions of the primary), and the database.
 */
export const serverExpression = `(select c.system_identifier::text
        || case when pg_catalog.pg_is_in_recovery() then '/standby/' else '/' end
        || pg_catalog.current_database() from pg_catalog.pg_control_system() c)`;

const REPLY = `
  select pg_catalog.jsonb_build_object(
      'now', pg_catalog.to_char(pg_catalog.clock_timestamp() at time zone 'UTC',
        'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
      'server', ${serverExpression},
      'names', coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
        'name', names[x], 'closing', closings[x], 'oid', roles[x]::bigint,
        'ended', done[x] and closings[x] <> 'refused', 'state', states[x],
        'reason', reasons[x])), '[]'))
    into answer from pg_catalog.generate_series(1, total) x;
end
`;
