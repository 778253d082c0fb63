-- How a restored or cloned ledger is told from the one that went on: a number that rises all the
-- time, here first and then in OpenBao. One that is lower here than there has been set back.
alter table mayfly.installation
  add column epoch bigint not null default 0,
  add column confirmed_at timestamptz;
