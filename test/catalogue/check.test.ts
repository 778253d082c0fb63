import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import type { CatalogueProblem } from '../../src/catalogue/catalogue.ts';
import { runCheck } from '../../src/commands/check.ts';
import type { CheckArguments } from '../../src/commands/check.ts';
import { SETTINGS, SOUND, withEdited } from './edited-catalogue.ts';
import type { Edit } from './edited-catalogue.ts';

type Case = {
  readonly wrong: string;
  readonly edits: readonly Edit[];
  /** `file:line:column field` of the only problem. */
  readonly at: string;
  readonly remedy: RegExp;
};

const reconciler = 'agents/invoice-reconciler.yaml';
const read = 'scopes/orders-read.yaml';
const write = 'scopes/orders-write.yaml';
const idp = 'issuers/demo-idp.yaml';
const orders = 'targets/orders.yaml';
const reads = 'policies/reports-read.cedar';

const definitions: Case[] = [
  {
    wrong: 'an unknown field',
    edits: [{ file: reconciler, from: 'tier: standard', to: 'tier: standard\nteir: standard' }],
    at: `${reconciler}:10:1 teir`,
    remedy: /Remove it|Fields not used yet/,
  },
  {
    wrong: 'a misspelt field',
    edits: [{ file: reconciler, from: 'groups:', to: 'gruops:' }],
    at: `${reconciler}:10:1 gruops`,
    remedy: /Did you mean "groups"\?/,
  },
  {
    wrong: 'a missing field',
    edits: [{ file: reconciler, from: 'owner: finance-platform team\n', to: '' }],
    at: `${reconciler}:2:1 owner`,
    remedy: /Add "owner"\. The accountable person or team\./,
  },
  {
    wrong: 'a wrong type',
    edits: [{ file: reconciler, from: 'open_leases: 50', to: 'open_leases: fifty' }],
    at: `${reconciler}:14:16 limits.open_leases`,
    remedy: /Leases that may be open at a time/,
  },
  {
    wrong: 'a number out of bounds',
    edits: [{ file: read, from: 'max_ttl_seconds: 600', to: 'max_ttl_seconds: 0' }],
    at: `${read}:14:18 max_ttl_seconds`,
    remedy: /longest life of one lease/,
  },
  {
    wrong: 'a value that is not in the list',
    edits: [{ file: read, from: 'risk: low', to: 'risk: lwo' }],
    at: `${read}:16:7 risk`,
    remedy: /Did you mean "low"\? One of: low, medium, high, critical\./,
  },
  {
    wrong: 'a name with a capital',
    edits: [{ file: read, from: 'groups: [orders]', to: 'groups: [Orders]' }],
    at: `${read}:6:10 groups[0]`,
    remedy: /ScopeGroup/,
  },
  {
    wrong: 'a date that does not exist',
    edits: [{ file: reconciler, from: '2099-12-31', to: '2099-02-30' }],
    at: `${reconciler}:6:7 ends`,
    remedy: /YYYY-MM-DD/,
  },
  {
    wrong: 'an unknown kind',
    edits: [{ file: idp, from: 'kind: oidc', to: 'kind: odic' }],
    at: `${idp}:3:7 kind`,
    remedy: /Did you mean "oidc"\? One of: oidc, spiffe\./,
  },
  {
    wrong: 'an HMAC algorithm',
    edits: [{ file: idp, from: '[ES256]', to: '[HS256]' }],
    at: `${idp}:10:14 algorithms[0]`,
    remedy: /One of: RS256/,
  },
  {
    wrong: 'a misspelt field in a choice',
    edits: [{ file: idp, from: 'discovery: true', to: 'discovry: true' }],
    at: `${idp}:9:3 keys.discovry`,
    remedy: /Did you mean "discovery"\?/,
  },
  {
    wrong: 'two choices at once',
    edits: [{ file: idp, from: 'discovery: true', to: 'discovery: true\n  jwks_file: a.json' }],
    at: `${idp}:10:3 keys.jwks_file`,
    remedy: /Keep one of: discovery, jwks_file/,
  },
  {
    wrong: 'a SPIFFE bundle for an OIDC issuer',
    edits: [{ file: idp, from: 'discovery: true', to: 'bundle_file: bundle.json' }],
    at: `${idp}:9:3 keys.bundle_file`,
    remedy: /jwks_file/,
  },
  {
    wrong: 'an invisible character in prose',
    edits: [{ file: reconciler, from: 'Invoice reconciler', to: 'Invoice\u202ereconciler' }],
    at: `${reconciler}:3:15 display_name`,
    remedy: /A name for people/,
  },
  {
    wrong: 'an entry twice in a list',
    edits: [{ file: write, from: 'actions: [read, write]', to: 'actions: [read, read]' }],
    at: `${write}:11:12 grants.actions`,
    remedy: /What is done/,
  },
  {
    wrong: 'an unknown permission',
    edits: [{ file: 'operators.yaml', from: 'tasks.revoke,', to: 'task.revoke,' }],
    at: 'operators.yaml:5:54 roles.operator[3]',
    remedy: /Did you mean "tasks\.revoke"\?/,
  },
];

const files: Case[] = [
  {
    wrong: 'a key twice',
    edits: [{ file: read, from: 'risk: low', to: 'risk: low\nrisk: high' }],
    at: `${read}:17:1 (syntax)`,
    remedy: /Keep one of the two/,
  },
  {
    wrong: 'broken YAML',
    edits: [{ file: read, from: 'actions: [read]', to: 'actions: [read' }],
    at: `${read}:12:3 (syntax)`,
    remedy: /close each bracket/,
  },
  {
    wrong: 'an alias',
    edits: [{ file: write, from: 'actions: [read, write]', to: 'actions: &all [read, write]' }],
    at: `${write}:11:17 (syntax)`,
    remedy: /Write the value out/,
  },
  {
    wrong: 'two entries in one file',
    edits: [{ file: read, from: 'proof: target', to: 'proof: target\n---\nname: other' }],
    at: `${read}:21:1 (syntax)`,
    remedy: /a file of its own/,
  },
  {
    wrong: 'an empty file',
    edits: [{ file: 'limits.yaml', write: '# nothing\n' }],
    at: 'limits.yaml:1:1 (file)',
    remedy: /Declare one entry, or remove it/,
  },
  {
    wrong: 'a list instead of an entry',
    edits: [{ file: 'limits.yaml', write: '- sweep_batch: 1\n' }],
    at: 'limits.yaml:1:1 (file)',
    remedy: /field: value/,
  },
  {
    wrong: 'a misspelt folder',
    edits: [{ file: 'polices', write: '' }],
    at: 'polices:1:1 (file)',
    remedy: /Did you mean "policies"\?/,
  },
  {
    wrong: 'a file with another ending',
    edits: [{ file: 'agents/spare.yml', write: 'id: spare\n' }],
    at: 'agents/spare.yml:1:1 (file)',
    remedy: /ends in \.yaml/,
  },
  {
    wrong: 'a file that is too large',
    edits: [{ file: 'agents/big.yaml', write: `# ${'x'.repeat(300_000)}\n` }],
    at: 'agents/big.yaml:1:1 (file)',
    remedy: /shorter/,
  },
  {
    wrong: 'no operators',
    edits: [{ file: 'operators.yaml', remove: true }],
    at: 'operators.yaml:1:1 (file)',
    remedy: /who may operate/,
  },
];

const relations: Case[] = [
  {
    wrong: 'an agent of an unknown issuer',
    edits: [{ file: reconciler, from: 'issuer: demo-idp', to: 'issuer: demo-ipd' }],
    at: `${reconciler}:17:11 identity.issuer`,
    remedy: /Did you mean "demo-idp"\?/,
  },
  {
    wrong: 'an agent of an issuer for operators',
    edits: [{ file: reconciler, from: 'issuer: demo-idp', to: 'issuer: demo-operators' }],
    at: `${reconciler}:17:11 identity.issuer`,
    remedy: /use workload/,
  },
  {
    wrong: 'an unknown scope',
    edits: [{ file: reconciler, from: 'orders-write]', to: 'order-write]' }],
    at: `${reconciler}:12:23 scopes[1]`,
    remedy: /Did you mean "orders-write"\?/,
  },
  {
    wrong: 'an unknown task type',
    edits: [{ file: reconciler, from: '[reconcile-invoice]', to: '[reconcile]' }],
    at: `${reconciler}:11:14 task_types[0]`,
    remedy: /Declare the task type, or name one of: reconcile-invoice, write-report\./,
  },
  {
    wrong: 'two agents of one name',
    edits: [
      {
        file: 'agents/second.yaml',
        write: `id: report-writer
owner: reporting team
ends: 2099-12-31
environment: demo
exposure: internal
tier: standard
task_types: [write-report]
scopes: [orders-read]
limits: { open_leases: 1, leases_per_minute: 1 }
identity: { issuer: demo-idp, subject: other }
`,
      },
    ],
    at: 'agents/second.yaml:1:5 id',
    remedy: /a name of its own/,
  },
  {
    wrong: 'two agents that one token matches',
    edits: [{ file: reconciler, from: 'agent/invoice-reconciler', to: 'agent/*' }],
    at: 'agents/report-writer.yaml:18:12 identity.subject',
    remedy: /Tell them apart/,
  },
  {
    wrong: 'a pattern that is no SPIFFE id',
    edits: [{ file: reconciler, from: 'spiffe://demo.example/agent/', to: 'repo:acme/*/' }],
    at: `${reconciler}:18:12 identity.subject`,
    remedy: /only a SPIFFE id may end in/,
  },
  {
    wrong: 'a scope wider than the ceiling of a task type',
    edits: [{ file: 'tasks/write-report.yaml', from: '[orders-read]', to: '[orders-write]' }],
    at: 'tasks/write-report.yaml:9:10 scopes[0]',
    remedy: /Widen ceiling\.actions/,
  },
  {
    wrong: 'a scope of an unknown target',
    edits: [{ file: read, from: 'target: orders', to: 'target: order' }],
    at: `${read}:7:9 target`,
    remedy: /Did you mean "orders"\?/,
  },
  {
    wrong: 'a group that the target does not have',
    edits: [{ file: read, from: 'orders_readers', to: 'order_readers' }],
    at: `${read}:8:8 group`,
    remedy: /Name one of: orders_readers, orders_writers/,
  },
  {
    wrong: 'two scopes of one backend role',
    edits: [{ file: write, from: 'backend_role: orders-write', to: 'backend_role: orders-read' }],
    at: `${write}:9:15 backend_role`,
    remedy: /a role of its own/,
  },
  {
    wrong: 'a group of which only one scope creates',
    edits: [{ file: write, from: 'orders_writers', to: 'orders_readers\ncreates_in: work' }],
    at: `${write}:9:13 creates_in`,
    remedy: /same creates_in in all scopes of a group/,
  },
  {
    wrong: 'a scope that creates nowhere beside one of its group that does',
    edits: [
      { file: read, from: 'orders_readers', to: 'orders_readers\ncreates_in: work' },
      { file: write, from: 'orders_writers', to: 'orders_readers' },
    ],
    at: `${write}:8:8 group`,
    remedy: /a group of its own/,
  },
  {
    wrong: 'scopes of one group that create in two schemas',
    edits: [
      { file: read, from: 'orders_readers', to: 'orders_readers\ncreates_in: work' },
      { file: write, from: 'orders_writers', to: 'orders_readers\ncreates_in: play' },
    ],
    at: `${write}:9:13 creates_in`,
    remedy: /same creates_in in all scopes of a group/,
  },
  {
    wrong: 'a proof that nobody makes',
    edits: [{ file: read, from: 'proof: target', to: 'proof: backend' }],
    at: `${read}:18:15 revocability`,
    remedy: /Set proof: target, or revocability: revocable/,
  },
  {
    wrong: 'TLS off on another machine',
    edits: [
      { file: orders, from: 'host: 127.0.0.1', to: 'host: db.example' },
      { file: orders, from: 'sslmode: disable', to: 'sslmode: verify-full' },
    ],
    at: `${orders}:12:6 tls`,
    remedy: /verify-full/,
  },
  {
    wrong: 'guard and prover in one',
    edits: [{ file: orders, from: 'username: mayfly_prover', to: 'username: mayfly_guard' }],
    at: `${orders}:25:13 prover.username`,
    remedy: /a role each/,
  },
  {
    wrong: 'a proof where sessions can live elsewhere',
    edits: [
      {
        file: orders,
        from: 'tls: disable',
        to: 'tls: disable\nendpoints: [{ host: 127.0.0.1, port: 6432, kind: pooler }]',
      },
      {
        file: 'scopes/orders-write.yaml',
        from: 'revocability: proven',
        to: 'revocability: revocable',
      },
    ],
    at: `scopes/orders-read.yaml:18:15 revocability`,
    remedy: /revocable/,
  },
  {
    wrong: 'a certificate that is not there',
    edits: [{ file: orders, from: 'tls: disable', to: 'tls: disable\nca_file: files/no.pem' }],
    at: `${orders}:13:10 ca_file`,
    remedy: /relative paths begin at the catalogue folder/,
  },
  {
    wrong: 'an issuer and audience of two uses',
    edits: [
      {
        file: 'issuers/demo-operators.yaml',
        from: 'use: operator',
        to: 'use: operator\naudience: http://127.0.0.1:8700',
      },
    ],
    at: 'issuers/demo-operators.yaml:7:11 audience',
    remedy: /its own audience/,
  },
  {
    wrong: 'an issuer without TLS',
    edits: [{ file: idp, from: '${setting:DEMO_ISSUER}', to: 'http://idp.example' }],
    at: `${idp}:7:9 issuer`,
    remedy: /Use https/,
  },
  {
    wrong: 'one trust domain twice',
    edits: ['one', 'two'].map((name) => ({
      file: `issuers/${name}.yaml`,
      write: `kind: spiffe
name: ${name}
use: workload
audience: ${name}
trust_domain: demo.example
keys: { bundle_url: https://spire.example/bundle }
algorithms: [ES256]
token_types: [JWT, '']
`,
    })),
    at: 'issuers/two.yaml:5:15 trust_domain',
    remedy: /each trust domain once/,
  },
  {
    wrong: 'a binding to an unknown role',
    edits: [{ file: 'operators.yaml', from: 'role: viewer', to: 'role: viever' }],
    at: 'operators.yaml:12:11 bindings[0].role',
    remedy: /Did you mean "viewer"\?/,
  },
  {
    wrong: 'a binding to an issuer for workloads',
    edits: [{ file: 'operators.yaml', from: 'demo-operators', to: 'demo-idp' }],
    at: 'operators.yaml:9:13 bindings[0].issuer',
    remedy: /use operator/,
  },
  {
    wrong: 'a setting that is not set',
    edits: [{ file: orders, from: 'ORDERS_PORT', to: 'ORDER_PORT' }],
    at: `${orders}:10:9 client.port`,
    remedy: /Set MAYFLY_ADDRESS_ORDER_PORT/,
  },
  {
    wrong: 'a setting where none may be',
    edits: [{ file: orders, from: 'database: orders', to: 'database: ${setting:DB}' }],
    at: `${orders}:7:11 database`,
    remedy: /Write the value itself/,
  },
];

/** Both mistakes of each are found in one run. */
const TWO_MISTAKES: readonly { readonly edits: readonly Edit[]; readonly found: RegExp[] }[] = [
  {
    edits: [
      { file: reconciler, from: 'tier: standard', to: 'tier: standard\nzzz: 1' },
      { file: reconciler, from: 'scopes: [', to: 'scopes: [nope, ' },
    ],
    found: [/zzz: unknown field/, /scopes\[0\]: names the scope "nope"/],
  },
  {
    edits: [{ file: read, from: 'max_ttl_seconds: 600', to: 'max_ttl: 600' }],
    found: [
      /max_ttl_seconds: is missing/,
      /max_ttl: unknown field. Did you mean "max_ttl_seconds"/,
    ],
  },
];

const policies: Case[] = [
  {
    wrong: 'a policy that does not parse',
    edits: [{ file: reads, from: 'action == Action::"exchange",', to: 'action == "exchange",' }],
    at: `${reads}:5:13 (syntax)`,
    remedy: /entity type/,
  },
  {
    wrong: 'a misspelt attribute, after characters of two bytes',
    edits: [
      { file: reads, from: 'context.actions', to: 'context.acts' },
      { file: reads, from: '@id', to: '// größer\n@id' },
    ],
    at: `${reads}:12:3 reports-read`,
    remedy: /Did you mean `actions`/,
  },
  {
    wrong: 'a misspelt level',
    edits: [
      {
        file: 'policies/high-risk-needs-a-person.cedar',
        from: 'Risk::"high"',
        to: 'Risk::"hihg"',
      },
    ],
    at: 'policies/high-risk-needs-a-person.cedar:10:4 high-risk-needs-a-person',
    remedy: /"low", "medium", "high", "critical"/,
  },
  {
    wrong: 'a policy that can never apply',
    edits: [{ file: reads, from: 'context.actions == ["read"]', to: '1 == 2' }],
    at: `${reads}:1:1 reports-read`,
    remedy: /can never hold/,
  },
  {
    wrong: 'a policy about a scope that does not exist',
    edits: [{ file: reads, from: 'Scope::"orders-read"', to: 'Scope::"order-read"' }],
    at: `${reads}:6:15 reports-read`,
    remedy: /Did you mean "orders-read"\? Declared are: orders-read, orders-write\./,
  },
  {
    wrong: 'no @id',
    edits: [{ file: reads, from: '@id("reports-read")\n', to: '' }],
    at: `${reads}:1:1 @id`,
    remedy: /Begin the file with @id/,
  },
  {
    wrong: 'an @id twice',
    edits: [
      { file: 'policies/writing-is-short.cedar', from: 'writing-is-short', to: 'reports-read' },
    ],
    at: 'policies/writing-is-short.cedar:1:1 @id',
    remedy: /an id of its own/,
  },
  {
    wrong: 'an unknown annotation',
    edits: [{ file: reads, from: '@description', to: '@descriptoin' }],
    at: `${reads}:2:1 @descriptoin`,
    remedy: /Did you mean "description"\?/,
  },
  {
    wrong: 'two policies in one file',
    edits: [
      {
        file: 'policies/two.cedar',
        write:
          '@id("one") permit (principal, action, resource);\n@id("two") permit (principal, action, resource);\n',
      },
    ],
    at: 'policies/two.cedar:2:1 (file)',
    remedy: /a file of its own/,
  },
  {
    wrong: 'a template',
    edits: [
      { file: reads, from: 'principal in AgentGroup::"reporting"', to: 'principal == ?principal' },
    ],
    at: `${reads}:4:16 (syntax)`,
    remedy: /[Tt]emplate/,
  },
];

async function check(config: string, more: Partial<CheckArguments> = {}) {
  const lines: string[] = [];
  const args = { config, json: false, requireSettings: true, writeSchemas: false, ...more };
  const exitCode = await runCheck(args, {
    print: (line) => lines.push(line),
    resolve: (name) => SETTINGS[name],
    publicUrl: 'http://127.0.0.1:8700',
    now: new Date('2026-11-22T12:00:00Z'),
  });
  return { exitCode, text: lines.join('\n') };
}

describe('mayfly check names file, line, field and remedy', () => {
  test.each([...definitions, ...files, ...relations, ...policies])(
    'for $wrong',
    async ({ edits, at, remedy }) => {
      const { exitCode, text } = await withEdited(edits, (folder) => check(folder, { json: true }));
      const { problems } = JSON.parse(text) as { problems: CatalogueProblem[] };
      expect(problems.map((p) => `${p.file}:${p.line}:${p.column} ${p.field}`)).toEqual([at]);
      expect(problems[0]?.remedy).toMatch(remedy);
      expect(exitCode).toBe(1);
    },
  );

  test('for all of them at once, in reading order', async () => {
    const edits: Edit[] = [
      { file: reconciler, from: 'ends: 2099-12-31', to: 'ends: soon' },
      { file: read, from: 'target: orders', to: 'target: order' },
      { file: reads, from: '"read"', to: '1' },
      { file: 'operators.yaml', from: 'role: viewer', to: 'role: nobody' },
    ];
    await withEdited(edits, async (folder) => {
      const { exitCode, text } = await check(folder);
      const lines = text.split('\n');
      expect(exitCode).toBe(1);
      expect(lines.map((line) => line.replace(`${folder}/`, '').split(' ')[0])).toEqual([
        `${reconciler}:6:7`,
        'operators.yaml:12:11',
        `${reads}:11:3`,
        `${read}:7:9`,
        '4',
      ]);
      expect(lines[0]).toMatch(/ ends: .+\. The last day \(UTC, YYYY-MM-DD\)/);
    });
  });
});

test.each(TWO_MISTAKES)('of two mistakes both are named: $found', async ({ edits, found }) => {
  const { exitCode, text } = await withEdited(edits, (folder) => check(folder));
  expect(exitCode).toBe(1);
  for (const one of found) expect(text).toMatch(one);
  expect(text).toMatch(/2 problems/);
});

test('what a broken file calls itself does not reach the terminal as it is', async () => {
  const edit = { file: reconciler, from: 'groups:', to: '"\\e[2Jgruops":' };
  const { text } = await withEdited([edit], (folder) => check(folder));
  expect(text).toContain('\ufffd[2Jgruops: unknown field');
  expect(text).not.toContain('\u001b');
});

describe('schemas for editors', () => {
  test('are written on request, beside the files', async () => {
    const stale = { file: 'schemas/agent.json', write: '{}' };
    await withEdited([stale], async (folder) => {
      expect((await check(folder, { writeSchemas: true })).exitCode).toBe(0);
      const written = await readFile(join(folder, 'schemas/agent.json'), 'utf8');
      expect(written).toBe(await readFile(join(SOUND, 'schemas/agent.json'), 'utf8'));
    });
  });

  test('are not written where there is no catalogue', async () => {
    const { exitCode, text } = await check('nowhere', { writeSchemas: true });
    expect([exitCode, text]).toEqual([2, expect.stringMatching(/the folder cannot be read/)]);
  });
});

describe('mayfly check on a sound catalogue', () => {
  test('exits 0 and counts', async () => {
    const { exitCode, text } = await check(SOUND);
    expect(exitCode).toBe(0);
    expect(text).toMatch(
      /is sound: 2 issuers, 2 agents, 2 task types, 2 scopes, 1 target, 5 policies; hash [0-9a-f]{12}$/,
    );
  });

  test('whose scopes of one group create in one schema', async () => {
    const edits = [
      { file: read, from: 'orders_readers', to: 'orders_readers\ncreates_in: work' },
      { file: write, from: 'orders_writers', to: 'orders_readers\ncreates_in: work' },
    ];
    const { exitCode, text } = await withEdited(edits, (folder) => check(folder));
    expect([exitCode, text]).toEqual([0, expect.stringMatching(/is sound/)]);
  });

  test('does without settings, and names those that the broker will need', async () => {
    const lines: string[] = [];
    const args = { config: SOUND, json: false, requireSettings: false, writeSchemas: false };
    const io = { print: (line: string) => lines.push(line), resolve: () => undefined };
    expect(await runCheck(args, { ...io, now: new Date('2026-11-22T12:00:00Z') })).toBe(0);
    expect(lines[0]).toBe(
      'note: not set here, needed by the broker: MAYFLY_ADDRESS_DEMO_ISSUER, MAYFLY_ADDRESS_ORDERS_PORT',
    );
  });

  test('warns of what is lawful but not meant, and still exits 0', async () => {
    const edits = [
      { file: reconciler, from: '2099-12-31', to: '2026-11-21' },
      { file: read, from: 'risk: low', to: 'risk: medium' },
      { file: read, from: 'max_ttl_seconds: 600', to: 'max_ttl_seconds: 3600' },
    ];
    await withEdited(edits, async (folder) => {
      const { exitCode, text } = await check(folder);
      expect(exitCode).toBe(0);
      expect(text).toContain(`${reconciler}:6:7 warning: ends: is in the past`);
      expect(text).toContain(`${read}:14:18 warning: max_ttl_seconds: is longer than the life`);
      expect(text).toContain('write-report.yaml:9:10 warning: scopes[0]: the scope "orders-read"');
    });
  });
});
