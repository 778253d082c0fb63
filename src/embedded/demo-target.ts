import pg from 'pg';
import type { SecretText } from '../foundation/secret-text.ts';

/** Where the target's superuser logs in. */
export type TargetServer = {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: SecretText;
};

export const ORDERS_DATABASE = 'orders';
/** May read. */
export const ORDERS_READERS = 'orders_readers';
/** May read, and write orders and invoices. */
export const ORDERS_WRITERS = 'orders_writers';

const OWNER = 'orders_owner';

/** Rows. The same ones everywhere: nothing in them is random. */
const CUSTOMERS = 500;
const ORDERS = 4_000;
const INVOICES = 3_600;

/**
 * Makes the demo's database `orders` on a Postgres of its own: customers, orders and invoices,
 * and two group roles that hold every right there is; PUBLIC may not even connect, to this or to
 * any other database of the server. A second run changes nothing.
 */
export async function ensureOrdersDatabase(server: TargetServer): Promise<void> {
  await within(server, 'postgres', async (client) => {
    for (const role of [OWNER, ORDERS_READERS, ORDERS_WRITERS]) {
      await ensureRole(client, role);
    }
    await ensureDatabase(client);
    for (const database of ['postgres', 'template1', ORDERS_DATABASE]) {
      await client.query(`revoke all on database ${database} from public`);
    }
    const groups = `${ORDERS_READERS}, ${ORDERS_WRITERS}`;
    await client.query(`grant connect on database ${ORDERS_DATABASE} to ${groups}`);
  });
  await within(server, ORDERS_DATABASE, async (client) => {
    await client.query('begin');
    await client.query(`revoke all on schema public from public`);
    await client.query(`grant usage, create on schema public to ${OWNER}`);
    await client.query(`set local role ${OWNER}`);
    await client.query(TABLES);
    await client.query('reset role');
    await client.query(ROWS);
    await client.query(RIGHTS);
    await client.query('commit');
  });
}

async function within(
  server: TargetServer,
  database: string,
  work: (client: pg.Client) => Promise<void>,
): Promise<void> {
  const { host, port, user, password } = server;
  const client = new pg.Client({ host, port, user, password: password.reveal(), database });
  // Without a listener a server that goes away would end our process.
  client.on('error', () => undefined);
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}

async function ensureRole(client: pg.Client, role: string): Promise<void> {
  const found = await client.query('select 1 from pg_roles where rolname = $1', [role]);
  if (found.rowCount === 0) {
    await client.query(`create role ${role} nologin`);
  }
}

async function ensureDatabase(client: pg.Client): Promise<void> {
  const found = await client.query('select 1 from pg_database where datname = $1', [
    ORDERS_DATABASE,
  ]);
  if (found.rowCount === 0) {
    await client.query(`create database ${ORDERS_DATABASE} owner ${OWNER}`);
  }
}

const TABLES = `
create table if not exists customers (
  id bigint primary key,
  name text not null,
  country text not null,
  since date not null
);
create table if not exists orders (
  id bigint primary key,
  customer_id bigint not null references customers,
  ordered_at timestamptz not null,
  status text not null check (status in ('open', 'shipped', 'cancelled')),
  total_cents bigint not null check (total_cents > 0)
);
create index if not exists orders_by_customer on orders (customer_id);
create table if not exists invoices (
  id bigint primary key,
  order_id bigint not null unique references orders,
  amount_cents bigint not null check (amount_cents > 0),
  due date not null,
  paid_at timestamptz,
  reconciled boolean not null default false
);
`;

/** Multiplying by primes spreads the values without chance; one invoice in nineteen is wrong. */
const ROWS = `
insert into customers (id, name, country, since)
select n, 'Customer ' || lpad(n::text, 4, '0'),
       (array['AT', 'BR', 'DE', 'FR', 'IN', 'JP', 'KE', 'US'])[1 + n * 7 % 8],
       date '2019-01-01' + (n * 13 % 2000)::int
  from generate_series(1, ${CUSTOMERS}) as n
on conflict (id) do nothing;

insert into orders (id, customer_id, ordered_at, status, total_cents)
select n, 1 + n * 31 % ${CUSTOMERS},
       timestamptz '2026-01-01 08:00:00+00' + n * interval '97 minutes',
       (array['shipped', 'shipped', 'shipped', 'open', 'cancelled'])[1 + n * 3 % 5],
       500 + n * 7919 % 250000
  from generate_series(1, ${ORDERS}) as n
on conflict (id) do nothing;

insert into invoices (id, order_id, amount_cents, due, paid_at)
select o.id + 10000, o.id,
       o.total_cents + case when o.id % 19 = 0 then 100 else 0 end,
       (o.ordered_at at time zone 'UTC')::date + 30,
       case when o.id % 3 <> 0 then o.ordered_at + interval '12 days' end
  from orders as o
 where o.id <= ${INVOICES}
on conflict (id) do nothing;
`;

const RIGHTS = `
grant usage on schema public to ${ORDERS_READERS}, ${ORDERS_WRITERS};
grant select on customers, orders, invoices to ${ORDERS_READERS}, ${ORDERS_WRITERS};
grant insert, update on orders, invoices to ${ORDERS_WRITERS};
`;
