-- The records of the ledger: installation, agents, tasks, leases, audit events.
-- Every name is qualified, so that no search path can lead elsewhere.

-- The ledger's clock. All deadlines are compared by it; tests replace it to shift time.
create function mayfly.ledger_now() returns timestamptz
  language sql volatile parallel safe
  as $$ select clock_timestamp() $$;

-- A UUIDv7 (RFC 9562 section 5.7) of the given instant, for events that a set operation writes.
create function mayfly.event_id(at timestamptz) returns uuid
  language sql volatile parallel safe
  as $$
    select encode(
      set_bit(set_bit(
        overlay(uuid_send(gen_random_uuid())
          placing substring(int8send((extract(epoch from at) * 1000)::bigint) from 3)
          from 1 for 6),
        52, 1), 53, 1),
      'hex')::uuid
  $$;

create table mayfly.installation (
  only_row boolean primary key default true check (only_row),
  -- 4 characters of Crockford base32, lower case: part of the name of every credential.
  id text not null check (id ~ '\A[0-9a-hjkmnp-tv-z]{4}\Z'),
  -- Tells two ledgers with the same four characters apart; a target remembers it.
  ledger_id uuid not null,
  made_at timestamptz not null
);

insert into mayfly.installation (id, ledger_id, made_at)
select string_agg(substr('0123456789abcdefghjkmnpqrstvwxyz', 1 + (get_byte(random.bytes, n) & 31), 1), ''),
       gen_random_uuid(), mayfly.ledger_now()
from (select uuid_send(gen_random_uuid()) as bytes) as random, generate_series(0, 3) as n;

-- One row an agent, made at its first exchange: the lock that makes its caps exact.
create table mayfly.agent (
  id text primary key,
  first_seen_at timestamptz not null
) with (fillfactor = 50);

-- Leases opened per agent and second, for the last minute: what the rate cap counts. Counting
-- lease rows instead would cost more with every exchange of that minute.
create table mayfly.opening (
  agent_id text not null,
  second bigint not null,
  opened integer not null,
  primary key (agent_id, second)
) with (fillfactor = 50, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0.1);

create table mayfly.task (
  id uuid primary key,
  agent_id text not null references mayfly.agent (id),
  owner text not null,
  task_type text not null,
  identifier text not null,
  purpose text,
  workflow text,
  actions text[] not null,
  locations text[] not null,
  datatypes text[],
  parameters jsonb not null,
  delegation jsonb,
  opened_by_instance text not null,
  opened_at timestamptz not null,
  deadline timestamptz not null,
  ended_at timestamptz,
  end_cause text constraint task_end_cause check (end_cause in ('completed', 'timeout', 'revoked')),
  outcome text constraint task_outcome check (outcome in ('succeeded', 'failed', 'cancelled')),
  note text,
  constraint task_end_has_cause check ((ended_at is null) = (end_cause is null))
);

create unique index task_open on mayfly.task (agent_id, identifier) where ended_at is null;
create index task_identifier on mayfly.task (agent_id, identifier, id);
create index task_deadline on mayfly.task (deadline) where ended_at is null;
create index task_workflow on mayfly.task (workflow, id) where workflow is not null;

create table mayfly.lease (
  id uuid primary key,
  task_id uuid not null references mayfly.task (id),
  agent_id text not null references mayfly.agent (id),
  owner text not null,
  instance text not null,
  issuer text not null,
  subject text not null,
  scope text not null,
  state text not null constraint lease_state check (
    state in ('minting', 'active', 'revoking', 'revoked', 'settled', 'abandoned')),
  revocability text not null constraint lease_revocability check (
    revocability in ('proven', 'revocable', 'expiry', 'static')),
  revocability_reason text,
  credential_name text not null constraint lease_credential_name unique,
  -- SHA-256 over the exact bytes of access_token: the only form in which a credential is kept.
  credential_sha256 bytea constraint lease_sha256_length check (octet_length(credential_sha256) = 32),
  decision_id uuid not null,
  created_at timestamptz not null,
  deadline timestamptz not null,
  mint_deadline timestamptz not null,
  activated_at timestamptz,
  mint_ended_at timestamptz,
  mint_outcome text constraint lease_mint_outcome check (
    mint_outcome in ('minted', 'refused', 'unsent', 'unknown')),
  backend_lease_id text,
  backend_ends_by timestamptz not null,
  fenced_at timestamptz,
  end_cause text constraint lease_end_cause check (
    end_cause in ('completed', 'deadline', 'operator', 'revoked_by_holder', 'mint_unknown',
                  'mint_lost', 'answer_lost', 'task_timeout')),
  end_reason text,
  revoked_at timestamptz,
  settled_at timestamptz,
  target_oid bigint,
  evidence jsonb,
  residue text,
  residue_since timestamptz,
  claim_owner text,
  claim_until timestamptz,
  attempts integer not null default 0,
  next_attempt_at timestamptz,
  late_reason text,
  snapshot jsonb not null,
  -- When the sweep has to look at it next; null: never. Leases whose residue is to be tried again
  -- have an index of their own.
  due_at timestamptz generated always as (
    case state
      when 'minting' then least(mint_deadline, deadline)
      when 'active' then deadline
      when 'revoking' then coalesce(greatest(next_attempt_at, claim_until), fenced_at)
      when 'revoked' then coalesce(greatest(next_attempt_at, claim_until), revoked_at)
    end) stored,
  constraint lease_mint_end_has_outcome check ((mint_ended_at is null) = (mint_outcome is null)),
  -- I1: no secret leaves before its name and its backend lease id are committed.
  constraint lease_active_is_known check (
    state <> 'active'
    or (backend_lease_id is not null and credential_sha256 is not null and activated_at is not null)),
  constraint lease_end_has_cause check (
    case when state in ('minting', 'active', 'abandoned')
      then fenced_at is null and end_cause is null
      else fenced_at is not null and end_cause is not null end),
  -- I3: nothing is called dead without evidence.
  constraint lease_death_has_evidence check (
    state not in ('revoked', 'settled') or (revoked_at is not null and evidence is not null)),
  constraint lease_settled_has_instant check ((state = 'settled') = (settled_at is not null)),
  constraint lease_residue_has_instant check ((residue is null) = (residue_since is null)),
  constraint lease_claim_has_deadline check ((claim_owner is null) = (claim_until is null))
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

create unique index lease_credential on mayfly.lease (credential_sha256)
  where credential_sha256 is not null;
create index lease_task on mayfly.lease (task_id);
create index lease_agent on mayfly.lease (agent_id, id);
-- What may live: counted for the caps, and what lists show by default.
create index lease_live on mayfly.lease (agent_id, id) where state in ('minting', 'active', 'revoking');
create index lease_due on mayfly.lease (due_at) where due_at is not null;
create index lease_abandoned on mayfly.lease (id) where state = 'abandoned';
-- What operators look at when something is wrong; few at a time, so these stay small.
create index lease_unsettled on mayfly.lease (id) where state = 'revoked';
create index lease_with_residue on mayfly.lease (id) where residue is not null;

-- Written once, never changed. `body` is canonical JSON (RFC 8785), kept as the text that it is.
create table mayfly.audit_event (
  id uuid primary key,
  at timestamptz not null,
  kind text not null,
  agent_id text,
  task_id uuid,
  lease_id uuid,
  body text not null
) with (autovacuum_vacuum_insert_scale_factor = 0.05);

create index audit_event_lease on mayfly.audit_event (lease_id) where lease_id is not null;
create index audit_event_task on mayfly.audit_event (task_id) where task_id is not null;

create function mayfly.refuse_change() returns trigger language plpgsql as $$
begin
  raise exception 'mayfly: % of % is refused', tg_op, tg_table_name using errcode = 'restrict_violation';
end
$$;

create trigger audit_event_is_final
  before update or delete or truncate on mayfly.audit_event
  for each statement execute function mayfly.refuse_change();

-- Nothing goes backwards, whoever asks. The condition costs nothing where it does not hold.
create trigger lease_goes_forward
  before update of state on mayfly.lease
  for each row
  when (old.state <> new.state and (old.state, new.state) not in (
    ('minting', 'active'), ('minting', 'abandoned'), ('minting', 'revoking'),
    ('active', 'revoking'), ('revoking', 'revoked'), ('revoked', 'settled')))
  execute function mayfly.refuse_change();

create trigger lease_keeps_its_name
  before update of id, task_id, agent_id, credential_name, deadline on mayfly.lease
  for each row
  when ((old.id, old.task_id, old.agent_id, old.credential_name, old.deadline)
        is distinct from (new.id, new.task_id, new.agent_id, new.credential_name, new.deadline))
  execute function mayfly.refuse_change();
