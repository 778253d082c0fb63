import { namePattern } from '../credential-name.ts';
import { REFUSED_NAME } from './make-routine.ts';
import { quoteIdentifier, quoteLiteral } from './quoting.ts';
import { LOCK_PATIENCE_MS, SAFE_SEARCH_PATH, SHORT_LOCK_TIMEOUT } from './routine.ts';
import type { Routine } from './routine.ts';
import { schemaOf } from './schema-name.ts';

/**
 * Milliseconds that `kick` waits for sessions to be gone. One that is terminated takes about one;
 * what still stands after this is a holder who keeps coming back, and another step must follow.
 */
const KICK_PATIENCE_MS = 250;

const STEP = {
  kind: 'function',
  declared:
    'credential text, patience_ms integer, out state text, out role oid, out reason text, out at timestamptz',
  identity: 'text, integer',
  returns: 'record',
  definer: true,
  settings: [SAFE_SEARCH_PATH, SHORT_LOCK_TIMEOUT],
  for: 'guard',
} as const satisfies Partial<Routine>;

/** The steps of an ending. Each may be repeated, and reads the catalogue again after an error. */
export function endingRoutines(installation: string): readonly Routine[] {
  const schema = quoteIdentifier(schemaOf(installation));
  return [
    victim(installation),
    close(schema),
    strip(schema),
    stripAll(schema),
    kick(schema),
    shut(schema),
    end(schema),
    revoke(schema),
  ];
}

/** Lowers the lock time-out for a batch that has waited enough; it is never raised. */
const PATIENCE = `perform set_config('lock_timeout',
    greatest(1, least(coalesce(patience_ms, ${LOCK_PATIENCE_MS}), ${LOCK_PATIENCE_MS})) || 'ms', true);`;

/** Finds the role by its checked name, and refuses one that has more than a holder ever gets. */
function victim(installation: string): Routine {
  return {
    ...STEP,
    name: 'victim',
    declared: 'credential text, out role oid, out refused text',
    identity: 'text',
    definer: false,
    settings: [],
    for: 'owner',
    body: `
declare
  found record;
begin
  if credential is null or credential !~ ${quoteLiteral(namePattern(installation))} then
    raise exception 'this is not a name of installation ${installation}' using errcode = '${REFUSED_NAME}';
  end if;
  select r.oid, r.rolsuper or r.rolcreaterole or r.rolcreatedb or r.rolreplication
    or r.rolbypassrls as mighty into found from pg_roles r where r.rolname = credential;
  role := found.oid;
  if found.mighty then
    refused := 'the role has attributes that no credential of ours ever has';
  end if;
end
`,
  };
}

/** After it no `make` of this name can succeed. States: alive, nothing, in_flight, refused. */
function close(schema: string): Routine {
  return {
    ...STEP,
    name: 'close',
    body: `
declare
  found record;
begin
  ${PATIENCE}
  -- The name is checked before anything is written; its role may still be on its way.
  perform ${schema}.victim(credential);
  begin
    insert into ${schema}.name as n (name, ended_at) values (credential, clock_timestamp())
      on conflict (name) do update set ended_at = coalesce(n.ended_at, excluded.ended_at)
      returning n.role into role;
  exception when lock_not_available or deadlock_detected then
    state := 'in_flight';
    reason := 'a mint of this name is under way at the target';
    at := clock_timestamp();
    return;
  end;
  select * into found from ${schema}.victim(credential);
  if found.role is not null and found.role is distinct from role then
    update ${schema}.name n set role = found.role where n.name = credential;
    role := found.role;
  end if;
  reason := found.refused;
  state := case when found.refused is not null then 'refused'
    when role is null then 'nothing' else 'alive' end;
  at := clock_timestamp();
end
`,
  };
}

/** Takes every membership from the role, and the role from everybody. States: done, left. */
function strip(schema: string): Routine {
  return {
    ...STEP,
    name: 'strip',
    body: `
declare
  found record;
  membership record;
begin
  ${PATIENCE}
  select * into found from ${schema}.victim(credential);
  role := found.role;
  reason := found.refused;
  if role is not null and reason is null then
    for membership in
      select a.rolname as granted, b.rolname as member, g.rolname as grantor
        from pg_auth_members m
        join pg_roles a on a.oid = m.roleid
        join pg_roles b on b.oid = m.member
        join pg_roles g on g.oid = m.grantor
        where m.member = found.role or (m.roleid = found.role and b.rolname <> current_user)
    loop
      begin
        execute format('revoke %I from %I', membership.granted, membership.member)
          || case when current_setting('server_version_num')::integer >= 160000
               then format(' granted by %I', membership.grantor) else '' end;
      exception when others then
        reason := left(sqlerrm, 200);
      end;
    end loop;
    if exists (select from pg_auth_members m where m.member = found.role) then
      reason := coalesce(reason, 'a membership remains');
    else
      reason := null;
    end if;
  end if;
  state := case when reason is null then 'done' else 'left' end;
  at := clock_timestamp();
end
`,
  };
}

/**
 * Takes the memberships of many at once: each REVOKE reads all members of its group, which with
 * thousands of them costs more than all else. What could not be taken so is left to `strip`.
 */
function stripAll(schema: string): Routine {
  return {
    ...STEP,
    name: 'strip_all',
    declared: 'credentials text[], patience_ms integer',
    identity: 'text[], integer',
    returns: 'void',
    body: `
declare
  victims oid[];
  membership record;
begin
  ${PATIENCE}
  select array_agg(v.role) into victims
    from unnest(credentials) credential, ${schema}.victim(credential) v
    where v.role is not null and v.refused is null;
  for membership in
    select a.rolname as granted, g.rolname as grantor,
        string_agg(quote_ident(b.rolname), ', ') as members
      from pg_auth_members m
      join pg_roles a on a.oid = m.roleid
      join pg_roles b on b.oid = m.member
      join pg_roles g on g.oid = m.grantor
      where m.member = any (victims) group by 1, 2
  loop
    begin
      execute format('revoke %I from ', membership.granted) || membership.members
        || case when current_setting('server_version_num')::integer >= 160000
             then format(' granted by %I', membership.grantor) else '' end;
    exception when others then
      null;
    end;
  end loop;
end
`,
  };
}

/**
 * Ends every session of these roles and answers those that still have one. It polls, since
 * `pg_terminate_backend`'s own wait costs 100 ms, and empties the cached view each time. A role that
 * is dropped may still have a session: the oids come from the names' own table.
 */
function kick(schema: string): Routine {
  return {
    ...STEP,
    name: 'kick',
    declared: 'victims oid[], patience_ms integer',
    identity: 'oid[], integer',
    returns: 'oid[]',
    body: `
declare
  ours oid[];
  remaining oid[];
  started timestamptz := clock_timestamp();
  looks integer := 0;
begin
  select array_agg(n.role) into ours from ${schema}.name n
    where n.role = any (victims) and not exists (select from pg_roles r where r.oid = n.role
      and (r.rolname <> n.name or r.rolsuper or r.rolcreaterole or r.rolcreatedb
        or r.rolreplication or r.rolbypassrls));
  if ours is null then
    return '{}';
  end if;
  loop
    perform pg_stat_clear_snapshot();
    -- It counts the sessions that it signals: they are gone only when the next look finds none. By
    -- number and user alone: the whole of pg_stat_activity costs more than twice as much.
    select array_agg(distinct s.usesysid)
        filter (where pg_terminate_backend(pg_stat_get_backend_pid(s.number)) is not null)
      into remaining
      from (select number, pg_stat_get_backend_userid(number) as usesysid
        from pg_stat_get_backend_idset() number) s
      where s.usesysid = any (ours);
    exit when remaining is null or clock_timestamp() > started + make_interval(secs =>
      least(coalesce(patience_ms, ${KICK_PATIENCE_MS}), ${KICK_PATIENCE_MS}) / 1000.0);
    looks := looks + 1;
    perform pg_sleep(case when looks <= 10 then 0.001 else 0.01 end);
  end loop;
  perform pg_stat_clear_snapshot();
  return coalesce(remaining, '{}');
end
`,
  };
}

/** States: done, left. The holder can delay it by a lock on his own role's row. */
function shut(schema: string): Routine {
  return {
    ...STEP,
    name: 'shut',
    body: `
declare
  found record;
begin
  ${PATIENCE}
  select * into found from ${schema}.victim(credential);
  role := found.role;
  reason := found.refused;
  if role is not null and reason is null then
    begin
      execute format('alter role %I nologin', credential);
    exception when others then
      if exists (select from pg_roles r where r.rolname = credential and r.rolcanlogin) then
        reason := left(sqlerrm, 200);
      end if;
    end;
  end if;
  state := case when reason is null then 'done' else 'left' end;
  at := clock_timestamp();
end
`,
  };
}

/**
 * Drops the role; where something depends on it, what it left first. States: gone; disabled, with
 * the reason why it is still there; alive.
 */
function end(schema: string): Routine {
  return {
    ...STEP,
    name: 'end',
    body: `
declare
  found record;
begin
  ${PATIENCE}
  select * into found from ${schema}.victim(credential);
  role := found.role;
  reason := found.refused;
  if role is not null and reason is null then
    begin
      execute format('drop role %I', credential);
    exception
      when dependent_objects_still_exist then
        reason := ${schema}.leftovers(credential, found.role);
      when others then
        reason := left(sqlerrm, 200);
    end;
  end if;
  -- Somebody else's ending may have won meanwhile, which also looks like an error above. Without
  -- CONNECT on any database a role cannot log in, whatever its attributes say.
  select case when r.rolcanlogin and exists (select from pg_database d
      where d.datallowconn and has_database_privilege(r.oid, d.oid, 'CONNECT'))
    then 'alive' else 'disabled' end into state from pg_roles r where r.rolname = credential;
  if found.refused is not null and state is not null then
    state := 'alive';
  end if;
  state := coalesce(state, 'gone');
  if state = 'gone' then
    reason := null;
  else
    -- A write, so that this commit is flushed, and the steps before it with it.
    update ${schema}.name n set ended_at = coalesce(n.ended_at, clock_timestamp())
      where n.name = credential;
  end if;
  at := clock_timestamp();
end
`,
  };
}

/**
 * All that can be done within one transaction, for OpenBao's own lease end. Its lease must not go
 * while the role can log in, so that is an error.
 */
function revoke(schema: string): Routine {
  return {
    ...STEP,
    name: 'revoke',
    declared: 'credential text',
    identity: 'text',
    returns: 'void',
    for: 'admin',
    body: `
declare
  step record;
  known oid;
begin
  select * into step from ${schema}.close(credential, null);
  if step.state = 'in_flight' then
    raise exception 'a mint of this name is under way' using errcode = 'lock_not_available';
  end if;
  known := step.role;
  -- The usual case: the guard was here before, and only OpenBao's books are left.
  if not exists (select from pg_roles r where r.rolname = credential) then
    perform ${schema}.kick(array[known], null);
    return;
  end if;
  perform ${schema}.strip(credential, null);
  perform ${schema}.kick(array[known], null);
  perform ${schema}.shut(credential, null);
  perform ${schema}.kick(array[known], null);
  select * into step from ${schema}."end"(credential, null);
  perform ${schema}.kick(array[known], null);
  if step.state = 'alive' then
    raise exception 'the role can still log in: %', step.reason using errcode = 'object_in_use';
  end if;
end
`,
  };
}
