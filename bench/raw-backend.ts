import { Agent, request } from 'node:http';

/** Plain calls to OpenBao, keep-alive, with nothing of Mayfly in between. */
export type RawBackend = {
  call(
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    token: string | null,
    body?: unknown,
  ): Promise<RawAnswer>;
  close(): void;
};

export type RawAnswer = {
  readonly status: number;
  readonly body: {
    readonly lease_id?: string;
    readonly data?: Readonly<Record<string, string>>;
    readonly auth?: { readonly client_token: string };
    readonly errors?: readonly string[];
  };
};

export function rawBackend(address: string): RawBackend {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const { hostname, port } = new URL(address);
  return {
    call: (method, path, token, body) =>
      new Promise((resolve, reject) => {
        const sent = body === undefined ? '' : JSON.stringify(body);
        const outgoing = request(
          {
            agent,
            host: hostname,
            port,
            method,
            path: `/v1/${path}`,
            headers: {
              ...(token === null ? {} : { 'x-vault-token': token }),
              ...(sent === '' ? {} : { 'content-length': Buffer.byteLength(sent) }),
            },
          },
          (answer) => {
            let text = '';
            answer.setEncoding('utf8');
            answer.on('data', (piece: string) => (text += piece));
            answer.on('end', () =>
              resolve({
                status: answer.statusCode ?? 0,
                body: (text === '' ? {} : JSON.parse(text)) as RawAnswer['body'],
              }),
            );
          },
        );
        outgoing.on('error', reject);
        outgoing.end(sent);
      }),
    close: () => agent.destroy(),
  };
}

/** A call that must succeed. */
export async function must(answer: Promise<RawAnswer>): Promise<RawAnswer['body']> {
  const { status, body } = await answer;
  if (status >= 300) throw new Error(`OpenBao answered ${status}: ${body.errors?.join('; ')}`);
  return body;
}

/** Where the raw contestants mint: a mount of the bench's own, with statements as tutorials show. */
export const RAW_MOUNT = 'bench-database';
export const RAW_JWT_MOUNT = 'bench-jwt';

const NAIVE_CREATION = [
  `create role "{{name}}" login password '{{password}}' valid until '{{expiration}}' in role orders_readers`,
];
const NAIVE_REVOCATION = [
  `alter role "{{name}}" nologin`,
  `select pg_terminate_backend(pid) from pg_stat_activity where usename = '{{name}}'`,
  `drop role if exists "{{name}}"`,
];

/** Sets up what somebody without Mayfly would: a database role, and a login by workload token. */
export async function setUpRaw(
  backend: RawBackend,
  admin: string,
  place: {
    readonly targetHost: string;
    readonly targetPort: number;
    readonly database: string;
    readonly username: string;
    readonly password: string;
    readonly issuer: string;
    readonly audience: string;
  },
): Promise<void> {
  const write = (path: string, body: unknown) => must(backend.call('POST', path, admin, body));
  await write(`sys/mounts/${RAW_MOUNT}`, { type: 'database' });
  await write(`${RAW_MOUNT}/config/orders`, {
    plugin_name: 'postgresql-database-plugin',
    connection_url: `postgresql://{{username}}:{{password}}@${place.targetHost}:${place.targetPort}/${place.database}?sslmode=disable`,
    username: place.username,
    password: place.password,
    allowed_roles: ['reader'],
    password_authentication: 'scram-sha-256',
  });
  await write(`${RAW_MOUNT}/roles/reader`, {
    db_name: 'orders',
    creation_statements: NAIVE_CREATION,
    revocation_statements: NAIVE_REVOCATION,
    default_ttl: '10m',
    max_ttl: '1h',
  });
  await write('sys/policies/acl/bench-reader', {
    policy: `path "${RAW_MOUNT}/creds/reader" { capabilities = ["read"] }`,
  });
  await write(`sys/auth/${RAW_JWT_MOUNT}`, { type: 'jwt' });
  await write(`auth/${RAW_JWT_MOUNT}/config`, { oidc_discovery_url: place.issuer });
  await write(`auth/${RAW_JWT_MOUNT}/role/agent`, {
    role_type: 'jwt',
    user_claim: 'sub',
    bound_audiences: [place.audience],
    token_policies: ['bench-reader'],
    token_ttl: '10m',
  });
}
