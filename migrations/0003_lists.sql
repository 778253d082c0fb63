-- Indexes for what operators look at when something is wrong: dead but not settled, and residue.
-- Both are few at a time, so the indexes stay small however many leases there have been.

create index lease_unsettled on mayfly.lease (id) where state = 'revoked';

-- By id, as lists are; the few that are to be tried again are sorted when they are claimed.
create index lease_with_residue on mayfly.lease (id) where residue is not null;
drop index mayfly.lease_residue;
