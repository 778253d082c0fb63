-- More reasons for which a lease is ended: its agent was quarantined, an operator stopped all that
-- match a selector, the catalogue or the policies no longer allow it, or a retried exchange with the
-- same Idempotency-Key was given a new one in its place.
alter table mayfly.lease drop constraint lease_end_cause;
alter table mayfly.lease add constraint lease_end_cause check (
  end_cause in ('completed', 'deadline', 'operator', 'revoked_by_holder', 'mint_unknown',
                'mint_lost', 'answer_lost', 'task_timeout', 'quarantine', 'revocation',
                'catalogue', 'policy', 'superseded'));
