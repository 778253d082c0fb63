import {
  either,
  folder,
  oneOf,
  postgresAddress,
  readableFile,
  secretText,
  webAddress,
  wholeNumber,
  words,
} from './forms.ts';
import { parseFaults } from '../foundation/fail-point.ts';
import { setting } from './setting.ts';
import type { Setting } from './setting.ts';

/** Connections of one replica to the ledger. Two: one may be held while the sweep works. */
const POOL_MIN = 2;
const POOL_MAX = 200;

/** Proxies in a row that a request may pass; more is a mistake. */
const PROXIES_MAX = 8;

const ADDRESS_LENGTH_MAX = 2048;
const NAME_LENGTH_MAX = 255;

export const PUBLIC_URL = setting({
  name: 'MAYFLY_PUBLIC_URL',
  meaning:
    'The address under which agents and operators reach the broker. It is the audience of workload ' +
    "tokens, and with `/operators` behind it that of operators' tokens.",
  remedy: 'Set it to the address that clients use, for example https://mayfly.example.',
  parse: webAddress,
});

export const LISTEN_HOST = setting({
  name: 'MAYFLY_LISTEN_HOST',
  meaning: 'The address on which the broker listens.',
  default: '127.0.0.1',
  remedy: 'Name an address of this machine, for example 0.0.0.0 behind a proxy that speaks TLS.',
  parse: words(NAME_LENGTH_MAX),
});

export const LISTEN_PORT = setting({
  name: 'MAYFLY_LISTEN_PORT',
  meaning: 'The port on which the broker listens; 0 takes a free one.',
  default: '8080',
  remedy: 'Name a port.',
  parse: wholeNumber(0, 65_535),
});

export const TLS_CERT_FILE = setting({
  name: 'MAYFLY_TLS_CERT_FILE',
  meaning: "Certificate chain (PEM) of the broker's own listener; absent: plain HTTP.",
  remedy: 'Set both MAYFLY_TLS_CERT_FILE and MAYFLY_TLS_KEY_FILE to readable files, or neither.',
  parse: readableFile,
});

export const TLS_KEY_FILE = setting({
  name: 'MAYFLY_TLS_KEY_FILE',
  meaning: 'The private key (PEM) for that certificate.',
  remedy: TLS_CERT_FILE.remedy,
  parse: readableFile,
});

export const TRUST_PROXY = setting({
  name: 'MAYFLY_TRUST_PROXY',
  meaning:
    'How many proxies in front of the broker add to `X-Forwarded-For`. Too many, and clients ' +
    'choose their own address for rate limits.',
  default: '0',
  remedy: 'Count the proxies between clients and the broker.',
  parse: wholeNumber(0, PROXIES_MAX),
});

export const CONFIG_DIR = setting({
  name: 'MAYFLY_CONFIG_DIR',
  meaning: 'The folder of the catalogue: issuers, agents, task types, scopes, targets, policies.',
  default: 'config',
  remedy: 'Name the folder that `mayfly check` accepts.',
  parse: folder,
});

export const LEDGER_URL = setting({
  name: 'MAYFLY_LEDGER_URL',
  meaning:
    'The ledger: `postgresql://user:password@host:port/database`, as its role for the application. ' +
    'Several hosts, `a:5432,b:5432`, are the nodes of one cluster; the primary is found.',
  secret: true,
  remedy: 'Set it, or MAYFLY_LEDGER_URL_FILE, to postgresql://user:password@host:port/database.',
  parse: postgresAddress,
});

export const LEDGER_CA_FILE = setting({
  name: 'MAYFLY_LEDGER_CA_FILE',
  meaning: "Certificates (PEM) that sign the ledger's; switches TLS with full verification on.",
  remedy: 'Name a readable file of PEM certificates.',
  parse: readableFile,
});

export const LEDGER_POOL = setting({
  name: 'MAYFLY_LEDGER_POOL',
  meaning:
    'Connections of one replica to the ledger at most. Of ten, exchanges and lists hold six at most, ' +
    'lists two of these: endings, stops and the sweep always find one.',
  default: '10',
  remedy: "Stay below the ledger's max_connections, all replicas together.",
  parse: wholeNumber(POOL_MIN, POOL_MAX),
});

export const LEDGER_OWNER_URL = setting({
  name: 'MAYFLY_LEDGER_OWNER_URL',
  meaning:
    'The ledger as its owner, for `mayfly migrate` and where MAYFLY_MIGRATE_ON_START is true.',
  secret: true,
  remedy: 'Set it, or MAYFLY_LEDGER_OWNER_URL_FILE, to the address of the ledger with its owner.',
  parse: postgresAddress,
});

export const MIGRATE_ON_START = setting({
  name: 'MAYFLY_MIGRATE_ON_START',
  meaning: 'Whether the broker migrates the ledger itself when it starts.',
  default: 'false',
  remedy: "Set it to true only where no other process migrates, and give the owner's address.",
  parse: either('true', 'false'),
});

export const BACKEND_URL = setting({
  name: 'MAYFLY_BACKEND_URL',
  meaning: 'OpenBao or Vault.',
  remedy: 'Set it to the address of OpenBao, for example https://bao.example:8200.',
  parse: webAddress,
});

export const BACKEND_CA_FILE = setting({
  name: 'MAYFLY_BACKEND_CA_FILE',
  meaning: "Certificates (PEM) that sign OpenBao's; absent: the system's.",
  remedy: 'Name a readable file of PEM certificates.',
  parse: readableFile,
});

export const BACKEND_NAMESPACE = setting({
  name: 'MAYFLY_BACKEND_NAMESPACE',
  meaning: 'The namespace in OpenBao or Vault; absent: the root namespace.',
  remedy: 'Name a namespace, or leave it out.',
  parse: words(NAME_LENGTH_MAX),
});

/** The settings by which one of the two identities logs in to OpenBao. */
export type LoginTable = {
  readonly login: Setting<'approle' | 'jwt' | 'token_file'>;
  readonly mount: Setting<string>;
  readonly roleIdFile: Setting<string>;
  readonly secretIdFile: Setting<string>;
  readonly role: Setting<string>;
  readonly jwtFile: Setting<string>;
  readonly tokenFile: Setting<string>;
};

export const MINTER = loginTable('MAYFLY_MINTER', 'the minter');
export const REAPER = loginTable('MAYFLY_REAPER', 'the reaper');

/** Files only: they are read again at each login, and no child process inherits them. */
function loginTable(prefix: string, who: string): LoginTable {
  const file = (name: string, meaning: string) =>
    setting({
      name: `${prefix}_${name}`,
      meaning,
      remedy: `Name a readable file, or choose another ${prefix}_LOGIN.`,
      parse: readableFile,
    });
  const text = (name: string, meaning: string, remedy: string) =>
    setting({ name: `${prefix}_${name}`, meaning, remedy, parse: words(NAME_LENGTH_MAX) });
  return {
    login: setting({
      name: `${prefix}_LOGIN`,
      meaning: `How ${who} logs in to OpenBao: \`approle\`, \`jwt\` or \`token_file\`.`,
      default: 'approle',
      remedy: 'Choose approle, jwt or token_file.',
      parse: oneOf('approle', 'jwt', 'token_file'),
    }),
    mount: text(
      'LOGIN_MOUNT',
      'The mount of that auth method; absent: `approle` or `jwt`.',
      'Name the mount without a slash at its ends.',
    ),
    roleIdFile: file('ROLE_ID_FILE', '`approle`: the file with the role id.'),
    secretIdFile: file('SECRET_ID_FILE', '`approle`: the file with the secret id.'),
    role: text('ROLE', '`jwt`: the role of the auth method.', 'Name the role.'),
    jwtFile: file('JWT_FILE', '`jwt`: the file with the token, such as a projected one.'),
    tokenFile: file('TOKEN_FILE', '`token_file`: the file with a token that somebody else renews.'),
  };
}

export const LOG_LEVEL = setting({
  name: 'MAYFLY_LOG_LEVEL',
  meaning: 'How much is logged: `debug`, `info`, `warn`, `error` or `silent`.',
  default: 'info',
  remedy: 'Choose debug, info, warn, error or silent.',
  parse: oneOf('debug', 'info', 'warn', 'error', 'silent'),
});

export const SWEEP = setting({
  name: 'MAYFLY_SWEEP',
  meaning:
    'Whether this replica sweeps (`on` or `off`). At least one replica must, or nothing ends ' +
    'leases that nobody completes. One that does not sweep does not hold back exchanges while ' +
    'many endings wait (`revocation_backlog`), or while a guard does not answer (`guard_unreachable`).',
  default: 'on',
  remedy: 'Choose on or off.',
  parse: either('on', 'off'),
});

export const OBSERVE = setting({
  name: 'MAYFLY_OBSERVE',
  meaning:
    'Whether this broker only observes (`true`) until an operator confirms the ledger: for the ' +
    'first start on a restored one. See backup-and-restore.md.',
  default: 'false',
  remedy: 'Choose true or false.',
  parse: either('true', 'false'),
});

/** One setting for each name that the catalogue refers to. */
export const SECRET_FAMILY = setting({
  name: 'MAYFLY_SECRET_<NAME>',
  meaning: "A secret that a target in the catalogue names, such as its guard's password.",
  secret: true,
  remedy: 'Use NAME as the catalogue writes it: capitals, digits and _.',
  parse: secretText,
});

export const ADDRESS_FAMILY = setting({
  name: 'MAYFLY_ADDRESS_<NAME>',
  meaning: 'What stands for `${setting:NAME}` in addresses of the catalogue.',
  remedy: 'Use NAME as the catalogue writes it, and a host, port or URL as the value.',
  parse: words(ADDRESS_LENGTH_MAX),
});

/** Read by commands that talk to a broker, and by those that start an OpenBao of their own. */
const CLIENT_URL = setting({
  name: 'MAYFLY_URL',
  meaning: "The broker that operators' commands talk to; the option `--url` wins.",
  remedy: 'Set it to the address of the broker.',
  parse: webAddress,
});

const CLIENT_TOKEN_FILE = setting({
  name: 'MAYFLY_TOKEN_FILE',
  meaning: 'The file with the token that such commands present; the option `--token-file` wins.',
  remedy: 'Name a readable file.',
  parse: readableFile,
});

const BAO = setting({
  name: 'MAYFLY_BAO',
  meaning: 'The `bao` program for the demo and tests; absent: it is looked for.',
  remedy: 'Name the program.',
  parse: words(ADDRESS_LENGTH_MAX),
});

const PROVE = setting({
  name: 'MAYFLY_PROVE',
  meaning: 'For developers: `1` runs the long proofs among the tests in full.',
  remedy: 'Set it to 1, or leave it out.',
  parse: oneOf('1'),
});

export const TEST_FAIL_POINTS = setting({
  name: 'MAYFLY_TEST_FAIL_POINTS',
  meaning:
    'For tests of crashes: fail points at which this broker kills, stops or hinders itself ' +
    '(docs/reliability.md). Refused without MAYFLY_ALLOW_FAULTS, and always by a broker that ' +
    'others can reach.',
  remedy: 'Leave it out, unless this broker is there to be killed in a test on this machine.',
  parse: parseFaults,
});

export const ALLOW_FAULTS = setting({
  name: 'MAYFLY_ALLOW_FAULTS',
  meaning: 'For tests of crashes: `yes-this-is-a-test` allows MAYFLY_TEST_FAIL_POINTS.',
  remedy: 'Leave it out, unless this is a test.',
  parse: oneOf('yes-this-is-a-test'),
});

/** A part of docs/settings.md. */
export type SettingsSection = {
  readonly title: string;
  readonly settings: readonly Setting<unknown>[];
};

/** Every setting there is, in the order of docs/settings.md, which a test compares with this. */
export const SETTINGS_TABLE: readonly SettingsSection[] = [
  {
    title: 'The broker',
    settings: [
      PUBLIC_URL,
      LISTEN_HOST,
      LISTEN_PORT,
      TLS_CERT_FILE,
      TLS_KEY_FILE,
      TRUST_PROXY,
      LOG_LEVEL,
      SWEEP,
      OBSERVE,
    ],
  },
  { title: 'The catalogue', settings: [CONFIG_DIR, ADDRESS_FAMILY, SECRET_FAMILY] },
  {
    title: 'The ledger',
    settings: [LEDGER_URL, LEDGER_CA_FILE, LEDGER_POOL, LEDGER_OWNER_URL, MIGRATE_ON_START],
  },
  { title: 'OpenBao', settings: [BACKEND_URL, BACKEND_CA_FILE, BACKEND_NAMESPACE] },
  { title: "The minter's login to OpenBao", settings: Object.values(MINTER) },
  { title: "The reaper's login to OpenBao", settings: Object.values(REAPER) },
  { title: 'Commands', settings: [CLIENT_URL, CLIENT_TOKEN_FILE, BAO, PROVE] },
  { title: 'Tests of crashes', settings: [TEST_FAIL_POINTS, ALLOW_FAULTS] },
];
