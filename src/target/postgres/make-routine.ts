import { namePattern } from '../credential-name.ts';
import { quoteIdentifier, quoteLiteral } from './quoting.ts';
import { SAFE_SEARCH_PATH } from './routine.ts';
import type { Routine } from './routine.ts';
import { schemaOf } from './schema-name.ts';

/** SQLSTATEs of our own, so that a refusal is told apart from a fault. */
export const REFUSED_NAME = 'MF001';
export const REFUSED_DEADLINE = 'MF002';
export const REFUSED_CLOSED = 'MF003';
export const REFUSED_GROUP = 'MF004';
export const REFUSED_PASSWORD = 'MF005';

/**
 * The creation statement. The name is inserted before the role is made: its unique index is what a
 * concurrent `close` waits on, and what refuses a name that is closed or was made before. Its commit
 * does not wait for the disk (docs/decisions/0133-a-mint-is-not-flushed.md).
 */
export function makeRoutine(installation: string): Routine {
  const schema = quoteIdentifier(schemaOf(installation));
  return {
    kind: 'function',
    name: 'make',
    declared: 'credential text, verifier text, wanted_group text',
    identity: 'text, text, text',
    returns: 'void',
    definer: true,
    settings: [SAFE_SEARCH_PATH],
    for: 'admin',
    body: `
declare
  deadline timestamptz;
  allowed record;
begin
  if credential is null or credential !~ ${quoteLiteral(namePattern(installation))} then
    raise exception 'this is not a name of installation ${installation}' using errcode = '${REFUSED_NAME}';
  end if;
  -- A clear password would stand in this server's log as soon as a statement fails.
  if verifier is null or verifier !~ '^SCRAM-SHA-256[$]' then
    raise exception 'the password must come as a SCRAM verifier'
      using errcode = '${REFUSED_PASSWORD}', hint = 'set password_authentication to scram-sha-256';
  end if;
  deadline := to_timestamp((('x' || right(credential, 8))::bit(32)::bigint)::double precision);
  if deadline <= clock_timestamp() then
    raise exception 'dead on arrival: the deadline of this name is past' using errcode = '${REFUSED_DEADLINE}';
  end if;
  select group_name, connection_limit, creates_in, estate into allowed
    from ${schema}.allowed_group where group_name = wanted_group;
  if not found then
    raise exception 'this group is not allowed' using errcode = '${REFUSED_GROUP}';
  end if;
  begin
    insert into ${schema}.name (name, group_name, made_at, estate)
      values (credential, allowed.group_name, clock_timestamp(), allowed.estate);
  exception when unique_violation then
    raise exception 'this name is closed or was made before' using errcode = '${REFUSED_CLOSED}';
  end;
  execute format('create role %I login password %L valid until %L connection limit %s',
    credential, verifier, deadline, allowed.connection_limit);
  if current_setting('server_version_num')::integer >= 160000 then
    execute format('grant %I to %I with inherit true, set false', allowed.group_name, credential);
  else
    execute format('grant %I to %I', allowed.group_name, credential);
  end if;
  if allowed.creates_in is not null then
    execute format('grant usage, create on schema %I to %I', allowed.creates_in, credential);
  end if;
  -- A crash may forget what is made here, never what came after it; a role that is gone is dead.
  -- Who has synchronous standbys wants no commit to be answered without them.
  if current_setting('synchronous_standby_names') = '' then
    perform set_config('synchronous_commit', 'off', true);
  end if;
  update ${schema}.name
    set role = (select r.oid from pg_roles r where r.rolname = credential) where name = credential;
end
`,
  };
}
