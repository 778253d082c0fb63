-- What each role may do. Applied after the migrations, every time: it changes nothing where it has
-- been applied before. Roles that do not exist are left out (a ledger with a single login).
do $$
begin
  revoke all on all functions in schema mayfly from public;

  if exists (select from pg_catalog.pg_roles where rolname = 'mayfly_app') then
    grant usage on schema mayfly to mayfly_app;
    grant select on all tables in schema mayfly to mayfly_app;
    grant insert on mayfly.agent, mayfly.task, mayfly.lease, mayfly.audit_event to mayfly_app;
    -- A row can be locked for update by whoever may update some column of it.
    grant update (first_seen_at, quarantined_at, quarantined_by, quarantine_reason) on mayfly.agent
      to mayfly_app;
    grant insert, delete on mayfly.stop to mayfly_app;
    grant insert on mayfly.catalogue, mayfly.self_check to mayfly_app;
    grant update (in_use_until) on mayfly.catalogue to mayfly_app;
    grant update (begun_at, succeeded_at, failed_at, failure) on mayfly.self_check to mayfly_app;
    grant insert, update, delete on mayfly.opening, mayfly.idempotency_key to mayfly_app;
    grant update (ended_at, end_cause, outcome, note) on mayfly.task to mayfly_app;
    grant update (epoch, confirmed_at) on mayfly.installation to mayfly_app;
    grant update (begun_at, ended_at, claim_owner, claim_until, result)
      on mayfly.reconciliation to mayfly_app;
    grant update (
      state, revocability, revocability_reason, credential_sha256, activated_at, mint_ended_at,
      mint_outcome, backend_lease_id, fenced_at, end_cause, end_reason, revoked_at, settled_at,
      target_oid, evidence, residue, residue_since, claim_owner, claim_until, attempts,
      next_attempt_at, late_reason) on mayfly.lease to mayfly_app;
    grant execute on all functions in schema mayfly to mayfly_app;
  end if;

  if exists (select from pg_catalog.pg_roles where rolname = 'mayfly_reader') then
    grant usage on schema mayfly to mayfly_reader;
    grant select on all tables in schema mayfly to mayfly_reader;
    grant execute on function mayfly.ledger_now() to mayfly_reader;
  end if;
end
$$;
