-- What is due is claimed target by target, and at each by the turn of its agents, so that neither a
-- slow target nor an agent with ten thousand leases keeps others waiting. Endings and settlings are
-- two kinds of work: nobody's death waits for book-keeping.
create index lease_to_end on mayfly.lease ((snapshot ->> 'target'), agent_id, due_at)
  where state in ('minting', 'active', 'revoking');
create index lease_to_settle on mayfly.lease ((snapshot ->> 'target'), due_at)
  where state = 'revoked';
drop index mayfly.lease_due;
