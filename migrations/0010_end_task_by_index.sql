-- The end of a task costs what of it lives, however many leases it had: it read them all, and at some
-- hundred thousand the statement was cancelled, the fence with it. What may live is found by an index
-- of just that. The newest of the others are read backwards along the index of the task's leases,
-- which lists use too; all together are counted up to 10000. The rest is as it was.
create index lease_task_id on mayfly.lease (task_id, id);
-- Made after it: while the table is empty both promise the same, and the planner then takes the newer one.
create index lease_task_live on mayfly.lease (task_id, id)
  where state in ('minting', 'active', 'revoking');
-- Last, since it shuts the table to readers too: while the two above are built, lists go on.
drop index mayfly.lease_task;

create or replace function mayfly.end_task(
    p_task uuid, p_agent text, p_cause text, p_outcome text, p_note text, p_lease_cause text,
    p_replica text, p_claim_seconds double precision,
    p_task_body text, p_timeout_body text, p_lease_body text)
  returns table (ended_now boolean, task mayfly.task, lease mayfly.lease, lease_count integer)
  language plpgsql volatile
as $$
declare
  v_first constant uuid := '00000000-0000-0000-0000-000000000000';
  v_last constant uuid := 'ffffffff-ffff-ffff-ffff-ffffffffffff';
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
  -- As ranges of the index and in its order: with `task_id = p_task` the planner may take the newest
  -- of all leases, whosever they are, until it has met 200 of this task.
  return query
    with answered as (
      select l as lease from mayfly.lease as l where l.task_id = p_task and l.state = 'revoking'
      union all (
        select l from mayfly.lease as l
        where (l.task_id, l.id) >= (p_task, v_first) and (l.task_id, l.id) <= (p_task, v_last)
          and l.state <> 'revoking'
        order by l.task_id desc, l.id desc limit 200)
    ), counted as (
      select count(*)::integer as leases from (
        select from mayfly.lease as l
        where (l.task_id, l.id) >= (p_task, v_first) and (l.task_id, l.id) <= (p_task, v_last)
        order by l.task_id, l.id limit 10000) as up_to
    )
    select v_ended_now, v_task, a.lease, c.leases
    from counted as c left join answered as a on true
    order by (a.lease).id;
end
$$;
