-- The two operations that lock first and must then see what was committed meanwhile. Each statement
-- of a volatile function sees the newest commits, so one call does what else takes a transaction of
-- several round trips.

-- What an exchange must know. Reads only; `lock_for_exchange` calls it under lock.
create function mayfly.exchange_facts(p_agent text, p_identifier text)
  returns table (now timestamptz, open_leases integer, recent_leases integer, task mayfly.task)
  language sql stable
as $$
  select clock.now,
    (select count(*)::integer from mayfly.lease as l
      where l.agent_id = p_agent and l.state in ('minting', 'active', 'revoking')),
    -- Whole seconds, and one more than a minute of them: never too few.
    (select coalesce(sum(o.opened), 0)::integer from mayfly.opening as o
      where o.agent_id = p_agent and o.second >= floor(extract(epoch from clock.now))::bigint - 60),
    (select t from mayfly.task as t
      where t.agent_id = p_agent and t.identifier = p_identifier order by t.id desc limit 1)
  from (select mayfly.ledger_now() as now offset 0) as clock
$$;

-- The lock order of every exchange: the agent's row, then the open task. A completion locks the task
-- for update: either it comes first and is seen here, or it waits and sees the lease.
create function mayfly.lock_for_exchange(p_agent text, p_identifier text)
  returns table (now timestamptz, open_leases integer, recent_leases integer, task mayfly.task)
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

-- Ends a task once and fences all its leases. One row a lease, or one row without a lease; no row
-- where there is no such task (of that agent). A task past its deadline had ended by then.
create function mayfly.end_task(
    p_task uuid, p_agent text, p_cause text, p_outcome text, p_note text, p_lease_cause text,
    p_replica text, p_claim_seconds double precision,
    p_task_body text, p_timeout_body text, p_lease_body text)
  returns table (ended_now boolean, task mayfly.task, lease mayfly.lease)
  language plpgsql volatile
as $$
declare
  v_now timestamptz;
  v_task mayfly.task;
  v_timed_out boolean;
  v_ended_now boolean := false;
begin
  select t.* into v_task from mayfly.task as t
    where t.id = p_task and (p_agent is null or t.agent_id = p_agent) for update;
  if not found then return; end if;
  perform from mayfly.lease as l
    where l.task_id = p_task and l.state in ('minting', 'active') order by l.id for update;
  -- Read when all is locked: what is written here is later than all that was written before.
  v_now := mayfly.ledger_now();
  if v_task.ended_at is null then
    v_timed_out := v_task.deadline <= v_now;
    v_ended_now := not v_timed_out;
    update mayfly.task as t
      set ended_at = case when v_timed_out then t.deadline else v_now end,
          end_cause = case when v_timed_out then 'timeout' else p_cause end,
          outcome = case when v_timed_out then null else p_outcome end,
          note = case when v_timed_out then null else p_note end
      where t.id = p_task
      returning t.* into v_task;
    insert into mayfly.audit_event (id, at, kind, agent_id, task_id, lease_id, body)
      values (mayfly.event_id(v_now), v_now, 'task.ended', v_task.agent_id, v_task.id, null,
              case when v_timed_out then p_timeout_body else p_task_body end);
  end if;
  with fenced as (
    update mayfly.lease as l
      set state = 'revoking', fenced_at = v_now, end_cause = p_lease_cause, end_reason = p_note,
          claim_owner = p_replica, claim_until = v_now + make_interval(secs => p_claim_seconds),
          next_attempt_at = v_now
      where l.task_id = p_task and l.state in ('minting', 'active')
      returning l.id, l.agent_id, l.task_id
  )
  insert into mayfly.audit_event (id, at, kind, agent_id, task_id, lease_id, body)
    -- Later than the task's own event by some microseconds: lists show the cause first.
    select mayfly.event_id(v_now), mayfly.ledger_now(), 'lease.fenced', f.agent_id, f.task_id, f.id,
      p_lease_body
    from fenced as f;
  return query
    select v_ended_now, v_task, l
    from (select 1) as once left join mayfly.lease as l on l.task_id = p_task
    order by l.id;
end
$$;
