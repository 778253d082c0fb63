import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { BrokerProcess } from '../../src/commands/demo/world.ts';
import { complete, exchange, get, granted, until } from './support/agent.ts';
import type { PathWorld } from './support/path-world.ts';
import { allLogs, startPathWorld } from './support/path-world.ts';
import { startTcpProxy } from './support/tcp-proxy.ts';
import type { TcpProxy } from './support/tcp-proxy.ts';

let path: PathWorld;
let broker: BrokerProcess;
let wire: TcpProxy;
let token: string;

/** Batch tokens and login tokens, read off the wire between broker and OpenBao. */
const sniffed = new Set<string>();

beforeAll(async () => {
  path = await startPathWorld();
  wire = await startTcpProxy('127.0.0.1', path.world.backend.port);
  wire.onAnswer = (text) => {
    for (const [, found] of text.matchAll(/"client_token":"([^"]+)"/g)) {
      if (found) sniffed.add(found);
    }
  };
  broker = await path.broker({
    settings: {
      MAYFLY_BACKEND_URL: `http://127.0.0.1:${wire.port}`,
      MAYFLY_LOG_LEVEL: 'debug',
    },
  });
  token = await path.token();
}, 60_000);

afterAll(async () => {
  await wire?.close();
  await path?.stop();
}, 60_000);

/** Secrets of the world that lie in files of their own, which are the only place for them. */
async function fileSecrets(): Promise<readonly string[]> {
  const folder = path.world.admin.files.secretsDir;
  const names = await readdir(folder);
  const texts = await Promise.all(
    names.map((name) => readFile(join(folder, name), 'utf8').catch(() => '')),
  );
  return texts.map((text) => text.trim()).filter((text) => text.length >= 12 && !/\s/.test(text));
}

test('no secret reaches a log, an error, a metric or a row', async () => {
  await path.oracle.target(`alter system set log_statement = 'all'`);
  await path.oracle.target('select pg_reload_conf()');
  const operator = await path.operator();
  const secrets = new Set<string>([token, operator, ...(await fileSecrets())]);
  const answers: string[] = [];

  for (let n = 0; n < 5; n++) {
    const grant = await granted(broker.url, token, { identifier: `canary-${n}`, ttl: 60 });
    secrets.add(grant.uri);
    secrets.add(new URL(grant.uri).password);
    await complete(broker.url, token, grant.taskId);
  }
  const forged = `${token.slice(0, -10)}AAAAAAAAAA`;
  secrets.add(forged);
  const refusals = [
    exchange(broker.url, forged, { identifier: 'canary-forged' }),
    exchange(broker.url, `planted-${'x'.repeat(40)}`, { identifier: 'canary-rubbish' }),
    exchange(broker.url, token, { identifier: 'canary-scope', scope: 'payments' }),
    get(broker.url, '/v1/leases', `planted-${'y'.repeat(40)}`),
  ];
  for (const refusal of await Promise.all(refusals)) answers.push(JSON.stringify(refusal.body));
  secrets.add(`planted-${'x'.repeat(40)}`).add(`planted-${'y'.repeat(40)}`);

  // A failing mint: its error carries what OpenBao said, and must not carry what we sent.
  await path.world.target.stop();
  const failed = await exchange(broker.url, token, { identifier: 'canary-down' });
  expect(failed.status).toBeGreaterThanOrEqual(500);
  answers.push(JSON.stringify(failed.body));
  await path.world.target.start();
  await until('all ended', 30, async () => {
    const states = await path.oracle.states();
    return !states['revoking'] && !states['minting'] && !states['active'];
  });

  expect(sniffed.size).toBeGreaterThan(5);
  for (const found of sniffed) secrets.add(found);
  const metrics = await fetch(`${broker.url}/metrics`);
  const places: Record<string, string> = {
    logs: await allLogs(path.world),
    answers: answers.join('\n'),
    metrics: await metrics.text(),
    ledger: await ledgerText(),
  };
  expect(places['logs']?.length).toBeGreaterThan(1000);
  for (const [place, text] of Object.entries(places)) {
    const leaked = [...secrets].filter((secret) => text.includes(secret));
    expect({ place, leaked: leaked.map((secret) => `${secret.slice(0, 6)}…`) }).toEqual({
      place,
      leaked: [],
    });
  }
}, 120_000);

test('the search finds a secret that was planted', async () => {
  const planted = 'planted-and-findable-4711';
  await path.oracle.ledger(
    `insert into mayfly.audit_event (id, at, kind, body)
     values (gen_random_uuid(), now(), 'test.planted', $1)`,
    [planted],
  );
  expect(await ledgerText()).toContain(planted);
});

/** Every row of every table of the ledger, as text. */
async function ledgerText(): Promise<string> {
  const tables = await path.oracle.ledger(
    `select quote_ident(schemaname) || '.' || quote_ident(tablename) as name
     from pg_tables where schemaname not in ('pg_catalog', 'information_schema')`,
  );
  const texts = await Promise.all(
    tables.map(async ({ name }) => {
      const rows = await path.oracle.ledger(`select t::text as row from ${String(name)} t`);
      return rows.map(({ row }) => String(row)).join('\n');
    }),
  );
  return texts.join('\n');
}
