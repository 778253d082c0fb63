-- Which lease an agent's instance got for an Idempotency-Key, until the key is forgotten.
create table mayfly.idempotency_key (
  agent_id text not null,
  -- SHA-256 over instance and key: neither is kept, and both are as long as callers like.
  key_sha256 bytea not null check (octet_length(key_sha256) = 32),
  request_sha256 bytea not null check (octet_length(request_sha256) = 32),
  lease_id uuid not null references mayfly.lease (id),
  kept_until timestamptz not null,
  primary key (agent_id, key_sha256)
);
create index idempotency_key_kept on mayfly.idempotency_key (kept_until);

-- request_sha256: what was asked for, without tokens. Equal ones of one instance within a mint
-- deadline are most likely one request that was sent again.
alter table mayfly.lease
  add column request_sha256 bytea constraint lease_request_length check (octet_length(request_sha256) = 32),
  add column replaces_lease_id uuid;
