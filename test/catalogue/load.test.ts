import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import type { LoadedCatalogue } from '../../src/catalogue/load.ts';
import { load, SOUND, withEdited } from './edited-catalogue.ts';
import type { Edit } from './edited-catalogue.ts';

async function sound(edits: readonly Edit[] = []): Promise<LoadedCatalogue & { folder: string }> {
  return withEdited(edits, async (folder) => {
    const loaded = await load(folder);
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
    return { ...loaded, folder };
  });
}

async function refusal(edits: readonly Edit[]): Promise<string[]> {
  const loaded = await withEdited(edits, load);
  return loaded.ok ? [] : loaded.problems.map(({ file, field }) => `${file} ${field}`);
}

describe('a sound catalogue', () => {
  test('is that of this repository, without a warning', async () => {
    const loaded = await load(SOUND);
    expect(loaded).toMatchObject({ ok: true, warnings: [], unset: [] });
  });

  test('has its settings filled in, a port as a number', async () => {
    const { catalogue } = await sound();
    expect(catalogue.issuers.get('demo-idp')).toMatchObject({ issuer: 'http://127.0.0.1:9000' });
    expect(catalogue.targets.get('orders')?.client.port).toBe(5433);
  });

  test('gives each issuer the audience of its use', async () => {
    const { catalogue } = await sound();
    expect(catalogue.issuers.get('demo-idp')?.audience).toBe('http://127.0.0.1:8700');
    expect(catalogue.issuers.get('demo-operators')?.audience).toBe(
      'http://127.0.0.1:8700/operators',
    );
  });

  test('has default limits where none are declared', async () => {
    const { catalogue } = await sound([{ file: 'limits.yaml', remove: true }]);
    expect(catalogue.limits).toEqual({
      requests_per_minute: 6000,
      sweep_batch: 200,
      revocation_backlog: 2000,
      self_check_seconds: 600,
      endings_per_target: 4,
      not_dead_alarm_seconds: 10,
      not_settled_alarm_seconds: 300,
      reconcile_every_seconds: 300,
      orphan_grace_seconds: 150,
    });
  });

  test('has absolute paths of files beside it', async () => {
    const { catalogue, folder } = await sound([
      { file: 'files', mkdir: true },
      { file: 'files/jwks.json', write: '{"keys":[]}' },
      { file: 'issuers/demo-idp.yaml', from: 'discovery: true', to: 'jwks_file: files/jwks.json' },
    ]);
    const keys = { jwks_file: join(folder, 'files/jwks.json') };
    expect(catalogue.issuers.get('demo-idp')?.keys).toEqual(keys);
  });

  test('takes prose with umlauts and line breaks', async () => {
    const use = 'acceptable_use: |\n  Lesen für\n  Größen, "so"\nowner: x';
    const { catalogue } = await sound([
      { file: 'tasks/write-report.yaml', from: 'owner: reporting team', to: use },
      { file: 'tasks/write-report.yaml', from: 'acceptable_use: Reading', to: 'approval: Reading' },
    ]);
    expect(catalogue.taskTypes.get('write-report')?.acceptable_use).toBe(
      'Lesen für\nGrößen, "so"\n',
    );
  });
});

describe('the hash', () => {
  test('depends on the files and not on the settings', async () => {
    const [first, again] = [await sound(), await load(SOUND, { tolerateUnset: true })];
    expect(again).toMatchObject({ ok: true, catalogue: { hash: first.catalogue.hash } });
    expect(first.catalogue.hash).toMatch(/^[0-9a-f]{64}$/);
  });

  test('changes with a comment, a policy and a file name', async () => {
    const comment = { file: 'limits.yaml', from: 'sweep_batch', to: '# more\nsweep_batch' };
    const policy = { file: 'policies/reports-read.cedar', from: '@id', to: '// more\n@id' };
    const text = '@id("p") permit (principal, action, resource);';
    const [one, two] = ['aa', 'ab'].map((name) => ({
      file: `policies/${name}.cedar`,
      write: text,
    }));
    const sets = [[], [comment], [policy], [one], [two]].map((edits) => edits.filter((e) => !!e));
    const loaded = await Promise.all(sets.map((edits) => sound(edits)));
    expect(new Set(loaded.map(({ catalogue }) => catalogue.hash)).size).toBe(5);
  });

  test('does not change with the generated schemas', async () => {
    const schema = { file: 'schemas/agent.json', write: '{}' };
    expect((await sound([schema])).catalogue.hash).toBe((await sound()).catalogue.hash);
  });
});

describe('settings that are not set', () => {
  test('are problems for a broker', async () => {
    const edit = { file: 'targets/orders.yaml', from: 'ORDERS_PORT', to: 'NO_PORT' };
    expect(await refusal([edit])).toEqual(['targets/orders.yaml client.port']);
  });

  test('are listed for a check, and nothing is said about what they hold', async () => {
    const edit = { file: 'targets/orders.yaml', from: '127.0.0.1', to: '${setting:ORDERS_HOST}' };
    const loaded = await withEdited([edit], (folder) => load(folder, { tolerateUnset: true }));
    expect(loaded).toMatchObject({
      ok: true,
      unset: ['DEMO_ISSUER', 'ORDERS_HOST', 'ORDERS_PORT'],
    });
  });
});

describe('agents that one token could match', () => {
  const second = (subject: string, claims = '') => ({
    file: 'agents/second.yaml',
    write: `id: second
owner: reporting team
ends: 2099-12-31
environment: demo
exposure: internal
tier: standard
task_types: [write-report]
scopes: [orders-read]
limits: { open_leases: 1, leases_per_minute: 1 }
identity:
  issuer: demo-idp
  subject: ${subject}
${claims}`,
  });
  const first = (to: string) => ({
    file: 'agents/report-writer.yaml',
    from: 'spiffe://demo.example/agent/report-writer',
    to,
  });

  test.each([
    ['the same subject', [first('a'), second('a')]],
    ['a pattern over a subject', [first('spiffe://d/a/*'), second('spiffe://d/a/b/c')]],
    ['a subject under a pattern', [first('spiffe://d/a/b'), second('spiffe://d/a/*')]],
    ['a pattern over a pattern', [first('spiffe://d/a/*'), second('spiffe://d/a/b/*')]],
    ['a claim of one only', [first('a'), second('a', '  claims: { team: red }\n')]],
  ])('are refused: %s', async (_name, edits) => {
    expect(await refusal(edits)).toEqual(['agents/second.yaml identity.subject']);
  });

  test.each([
    ['another subject', [first('a'), second('b')]],
    ['the folder of a pattern itself', [first('spiffe://d/a/*'), second('spiffe://d/a')]],
    ['the folder with a slash', [first('spiffe://d/a/*'), second('spiffe://d/a/')]],
    ['another folder', [first('spiffe://d/a/*'), second('spiffe://d/ab/c')]],
    [
      'another value of one claim',
      [first('a\n  claims: { team: blue }'), second('a', '  claims: { team: red }\n')],
    ],
  ])('are told apart: %s', async (_name, edits) => {
    expect(await refusal(edits)).toEqual([]);
  });
});

describe('names', () => {
  test.each(['Orders', 'orders_read', 'órders', 'ordеrs', 'orders\u200b', 'a'.repeat(64), ''])(
    'cannot be %j',
    async (name) => {
      const problems = await refusal([
        {
          file: 'agents/report-writer.yaml',
          from: 'groups: [reporting]',
          to: `groups: ["${name}"]`,
        },
      ]);
      expect(problems).toEqual(['agents/report-writer.yaml groups[0]']);
    },
  );
});
