-- What stops agents: quarantine (a state of the agent, read under its lock by every exchange) and
-- revocations by selector (a row that lives only until all it selects is fenced).

alter table mayfly.agent
  add column quarantined_at timestamptz,
  add column quarantined_by text,
  add column quarantine_reason text,
  add constraint agent_quarantine_has_reason check (
    num_nonnulls(quarantined_at, quarantined_by, quarantine_reason) in (0, 3));

-- Those whose leases the sweep still has to fence are found without reading all agents.
create index agent_quarantined on mayfly.agent (id) where quarantined_at is not null;

-- A revocation under way: it selects every lease that all its members match. Normally empty.
create table mayfly.stop (
  id uuid primary key,
  made_at timestamptz not null,
  made_by text not null,
  reason text not null,
  agent_id text,
  instance text,
  task_type text,
  workflow text,
  scope text,
  issuer text,
  constraint stop_selects_something check (
    num_nonnulls(agent_id, instance, task_type, workflow, scope, issuer) > 0)
);

create function mayfly.stop_selects(s mayfly.stop, l mayfly.lease) returns boolean
  language sql stable
  as $$
    select (s.agent_id is null or s.agent_id = l.agent_id)
      and (s.instance is null or s.instance = l.instance)
      and (s.scope is null or s.scope = l.scope)
      and (s.issuer is null or s.issuer = l.issuer)
      and ((s.task_type is null and s.workflow is null)
        or exists (select from mayfly.task as t where t.id = l.task_id
          and (s.task_type is null or s.task_type = t.task_type)
          and (s.workflow is null or s.workflow = t.workflow)))
  $$;

-- Catalogues that replicas have in force, by their hash. A newer one was first seen later.
create table mayfly.catalogue (
  hash text primary key,
  generation bigint generated always as identity unique,
  first_seen_at timestamptz not null,
  in_use_until timestamptz not null
);

-- Checks that the broker makes of itself, a row each: whose turn it was, and how it went.
create table mayfly.self_check (
  name text primary key,
  begun_at timestamptz not null,
  succeeded_at timestamptz,
  failed_at timestamptz,
  failure text
);

drop function mayfly.lock_for_exchange(text, text);
drop function mayfly.exchange_facts(text, text);

-- What an exchange must know. Reads only; `lock_for_exchange` calls it under lock.
create function mayfly.exchange_facts(p_agent text, p_identifier text)
  returns table (
    now timestamptz, open_leases integer, recent_leases integer, quarantined boolean, stops jsonb,
    task mayfly.task)
  language sql stable
as $$
  select clock.now,
    (select count(*)::integer from mayfly.lease as l
      where l.agent_id = p_agent and l.state in ('minting', 'active', 'revoking')),
    -- Whole seconds, and one more than a minute of them: never too few.
    (select coalesce(sum(o.opened), 0)::integer from mayfly.opening as o
      where o.agent_id = p_agent and o.second >= floor(extract(epoch from clock.now))::bigint - 60),
    coalesce((select a.quarantined_at is not null from mayfly.agent as a where a.id = p_agent), false),
    (select jsonb_agg(jsonb_build_object('agentId', s.agent_id, 'instance', s.instance,
        'taskType', s.task_type, 'workflow', s.workflow, 'scope', s.scope, 'issuer', s.issuer))
      from mayfly.stop as s),
    (select t from mayfly.task as t
      where t.agent_id = p_agent and t.identifier = p_identifier order by t.id desc limit 1)
  from (select mayfly.ledger_now() as now offset 0) as clock
$$;

-- The lock order of every exchange: the agent's row, then the open task. A completion locks the task
-- for update: either it comes first and is seen here, or it waits and sees the lease. A quarantine
-- locks the agent's row: either it comes first and is seen here, or it waits and fences the lease.
-- Stops are read after the first lock: whoever does not see one is waited for by it.
create function mayfly.lock_for_exchange(p_agent text, p_identifier text)
  returns table (
    now timestamptz, open_leases integer, recent_leases integer, quarantined boolean, stops jsonb,
    task mayfly.task)
  language plpgsql volatile
as $$
begin
  perform from mayfly.agent as a where a.id = p_agent for update;
  if not found then
    insert into mayfly.agent (id, first_seen_at) values (p_agent, mayfly.ledger_now())
      on conflict (id) do nothing;
    perform from mayfly.agent as a where a.id = p_agent for update;
  end if;
  perform from mayfly.task as t
    where t.agent_id = p_agent and t.identifier = p_identifier and t.ended_at is null for share;
  return query select * from mayfly.exchange_facts(p_agent, p_identifier);
end
$$;

-- Quarantines an agent once, also one that never came. What it has is fenced afterwards: from the
-- commit of this on nothing is added to it.
create function mayfly.quarantine_agent(p_agent text, p_by text, p_reason text, p_body text)
  returns table (changed boolean, quarantined_at timestamptz, quarantined_by text, reason text)
  language plpgsql volatile
as $$
declare
  v_agent mayfly.agent;
  v_changed boolean := false;
begin
  insert into mayfly.agent (id, first_seen_at) values (p_agent, mayfly.ledger_now())
    on conflict (id) do nothing;
  select a.* into v_agent from mayfly.agent as a where a.id = p_agent for update;
  if v_agent.quarantined_at is null then
    v_changed := true;
    -- Read when it is locked: later than every exchange that came before.
    update mayfly.agent as a set quarantined_at = mayfly.ledger_now(), quarantined_by = p_by,
        quarantine_reason = p_reason
      where a.id = p_agent returning a.* into v_agent;
    insert into mayfly.audit_event (id, at, kind, agent_id, body)
      values (mayfly.event_id(v_agent.quarantined_at), v_agent.quarantined_at, 'agent.quarantined',
              p_agent, p_body);
  end if;
  return query
    select v_changed, v_agent.quarantined_at, v_agent.quarantined_by, v_agent.quarantine_reason;
end
$$;
