-- One reconciliation at a time over all replicas: who is at it, until when its claim holds, and what
-- the last one that came to its end has found.
create table mayfly.reconciliation (
  only_row boolean primary key default true check (only_row),
  begun_at timestamptz,
  ended_at timestamptz,
  claim_owner text,
  claim_until timestamptz,
  result jsonb,
  constraint reconciliation_claim_has_deadline check ((claim_owner is null) = (claim_until is null)),
  constraint reconciliation_end_has_result check ((ended_at is null) = (result is null))
);

insert into mayfly.reconciliation default values;

-- A further reason: the backend knows nothing any more of a lease whose life is not over.
alter table mayfly.lease drop constraint lease_end_cause;
alter table mayfly.lease add constraint lease_end_cause check (
  end_cause in ('completed', 'deadline', 'operator', 'revoked_by_holder', 'mint_unknown',
                'mint_lost', 'answer_lost', 'task_timeout', 'quarantine', 'revocation',
                'catalogue', 'policy', 'superseded', 'backend_lost'));
