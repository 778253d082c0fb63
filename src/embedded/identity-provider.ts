import { generateKeyPairSync } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { join, resolve } from 'node:path';
import type { Configuration, JWK, Provider, ResourceServer, errors } from 'oidc-provider';
import { systemClock } from '../foundation/clock.ts';
import { systemIds } from '../foundation/ids.ts';
import { SecretText } from '../foundation/secret-text.ts';
import { writePrivate } from './bao-files.ts';
import type { IdentityClient } from './identity-clients.ts';
import { LOOPBACK, freePort } from './loopback-port.ts';

export type IdentityProviderOptions = {
  /** Keeps the signing key and the clients' secrets, so that both survive a restart. */
  readonly folder: string;
  /** Absent: a free one. It is part of the issuer's name. */
  readonly port?: number;
  /** The broker's: the audience of agents' tokens; with `/operators`, of people's. */
  readonly publicUrl: string;
  readonly clients: readonly IdentityClient[];
};

/** An OpenID provider on loopback that is not our code. For trying out and for tests. */
export type IdentityProvider = {
  readonly issuer: string;
  readonly tokenEndpoint: string;
  readonly jwksUri: string;
  /** Holds all clients' secrets, a JSON object by client id; mode 0600. */
  readonly secretsFile: string;
  clientSecret(client: string): SecretText;
  /** The audience that a client's tokens have when it asks for none. */
  audienceOf(client: string): string;
  /** A token by the client credentials grant, over HTTP as any client would get it. */
  token(client: string, resource?: string): Promise<SecretText>;
  stop(): Promise<void>;
};

const DEFAULT_TOKEN_LIFE_S = 300;
const KEY_ID = 'demo-1';

/**
 * Starts an OpenID provider with client credentials and JWT access tokens (RFC 9068, ES256). A
 * client may ask for its own audience by `resource` (RFC 8707), and for no other.
 */
export async function startIdentityProvider(
  options: IdentityProviderOptions,
): Promise<IdentityProvider> {
  await mkdir(resolve(options.folder), { recursive: true, mode: 0o700 });
  const secretsFile = join(resolve(options.folder), 'clients.json');
  const secrets = await clientSecrets(secretsFile, options.clients);
  const key = await signingKey(join(resolve(options.folder), 'signing-key.json'));
  const port = options.port ?? (await freePort());
  const issuer = `http://${LOOPBACK}:${port}`;
  const configuration = { ...options, secrets, key };
  const provider = await quietly(() => makeProvider(issuer, configuration));
  const handle = provider.callback();
  const server = createServer((request, response) => void handle(request, response));
  await listening(server, port);
  return face(issuer, server, configuration, secretsFile);
}

type Resolved = IdentityProviderOptions & {
  readonly secrets: ReadonlyMap<string, string>;
  readonly key: JWK;
};

function face(
  issuer: string,
  server: Server,
  options: Resolved,
  secretsFile: string,
): IdentityProvider {
  const tokenEndpoint = `${issuer}/token`;
  const clientSecret = (id: string) => {
    const secret = options.secrets.get(id);
    if (secret === undefined) {
      throw new Error(`The identity provider has no client "${id}".`);
    }
    return new SecretText(secret);
  };
  const audience = (id: string) => audienceOf(clientOf(options, id), options.publicUrl);
  return {
    issuer,
    tokenEndpoint,
    jwksUri: `${issuer}/jwks`,
    secretsFile,
    clientSecret,
    audienceOf: audience,
    token: (id, resource) =>
      requestToken(tokenEndpoint, id, clientSecret(id), resource ?? audience(id)),
    stop: () => closed(server),
  };
}

function audienceOf(client: IdentityClient, publicUrl: string): string {
  return client.kind === 'agent' ? publicUrl : `${publicUrl}/operators`;
}

function clientOf(options: IdentityProviderOptions, id: string): IdentityClient {
  const found = options.clients.find((client) => client.id === id);
  if (found === undefined) {
    throw new Error(`The identity provider has no client "${id}".`);
  }
  return found;
}

async function clientSecrets(
  file: string,
  clients: readonly IdentityClient[],
): Promise<ReadonlyMap<string, string>> {
  const text = await readFile(file, 'utf8').catch(() => '{}');
  const known = new Map(Object.entries(JSON.parse(text) as Record<string, string>));
  const ids = systemIds(systemClock);
  const secrets = new Map(clients.map(({ id }) => [id, known.get(id) ?? ids.password()]));
  await writePrivate(file, JSON.stringify(Object.fromEntries(secrets), undefined, 2));
  return secrets;
}

async function signingKey(file: string): Promise<JWK> {
  const known = await readFile(file, 'utf8').catch(() => undefined);
  if (known !== undefined) {
    return JSON.parse(known) as JWK;
  }
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const key = { ...privateKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig', kid: KEY_ID };
  await writePrivate(file, JSON.stringify(key));
  return key;
}

type Package = { readonly Provider: typeof Provider; readonly errors: typeof errors };

async function makeProvider(issuer: string, options: Resolved): Promise<Provider> {
  supplyUrlParse();
  const { Provider, errors } = await providerPackage();
  return new Provider(issuer, configuration(options, errors.InvalidTarget));
}

async function providerPackage(): Promise<Package> {
  try {
    return await import('oidc-provider');
  } catch {
    throw new Error(
      'The identity provider for trying Mayfly out needs the package oidc-provider. ' +
        'Run `npm install` again without `--omit=optional`.',
    );
  }
}

function configuration(options: Resolved, Refusal: typeof errors.InvalidTarget): Configuration {
  return {
    jwks: { keys: [options.key] },
    clients: options.clients.map(({ id }) => ({
      client_id: id,
      client_secret: options.secrets.get(id) ?? '',
      grant_types: ['client_credentials'],
      response_types: [],
      redirect_uris: [],
      id_token_signed_response_alg: 'ES256',
    })),
    ttl: { ClientCredentials: (_context, token) => lifeOf(token.resourceServer) },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: (_context, client) =>
          audienceOf(clientOf(options, client?.clientId ?? ''), options.publicUrl),
        getResourceServerInfo: (_context, resource, asking) => {
          const client = clientOf(options, asking.clientId);
          if (resource !== audienceOf(client, options.publicUrl)) {
            throw new Refusal();
          }
          return {
            scope: '',
            accessTokenFormat: 'jwt',
            accessTokenTTL: client.lifeSeconds ?? DEFAULT_TOKEN_LIFE_S,
            jwt: { sign: { alg: 'ES256' } },
          };
        },
      },
    },
    formats: {
      customizers: {
        jwt: (_context, token, { payload }) => {
          if (payload !== undefined) {
            describe(payload, clientOf(options, token.clientId ?? ''));
          }
        },
      },
    },
  };
}

function describe(payload: Record<string, unknown>, client: IdentityClient): void {
  payload['sub'] = client.subject;
  if (client.groups !== undefined) {
    payload['groups'] = client.groups;
  }
  for (const instant of ['iat', 'exp']) {
    payload[instant] = Number(payload[instant]) - (client.issuedSecondsAgo ?? 0);
  }
}

function lifeOf(resource: ResourceServer | undefined): number {
  return resource?.accessTokenTTL ?? DEFAULT_TOKEN_LIFE_S;
}

async function requestToken(
  endpoint: string,
  client: string,
  secret: SecretText,
  resource: string,
): Promise<SecretText> {
  const credentials = Buffer.from(`${client}:${secret.reveal()}`).toString('base64');
  const response = await fetch(endpoint, {
    method: 'POST',
    headers: { authorization: `Basic ${credentials}` },
    body: new URLSearchParams({ grant_type: 'client_credentials', resource }),
  });
  const reply = (await response.json()) as { access_token?: string; error?: string };
  if (reply.access_token === undefined) {
    throw new Error(`The identity provider refused "${client}": ${reply.error ?? 'no reason'}.`);
  }
  return new SecretText(reply.access_token);
}

/** Node 20 has no `URL.parse`, which the package calls; its meaning is the standard's. */
function supplyUrlParse(): void {
  if (!('parse' in URL)) {
    const parse = (url: string, base?: string) =>
      URL.canParse(url, base) ? new URL(url, base) : null;
    Object.defineProperty(URL, 'parse', { value: parse, configurable: true, writable: true });
  }
}

/** The package prints its advice for production to the console, which here belongs to the user. */
async function quietly<Value>(work: () => Promise<Value>): Promise<Value> {
  const restore = [silence('info'), silence('warn')];
  try {
    return await work();
  } finally {
    restore.forEach((undo) => undo());
  }
}

function silence(method: 'info' | 'warn'): () => void {
  const { console: output } = globalThis;
  const original = Object.getOwnPropertyDescriptor(output, method) ?? {};
  Object.defineProperty(output, method, { ...original, value: () => undefined });
  return () => Object.defineProperty(output, method, original);
}

function listening(server: Server, port: number): Promise<void> {
  return new Promise((done, refuse) => {
    server.once('error', refuse);
    server.listen(port, LOOPBACK, () => done());
  });
}

function closed(server: Server): Promise<void> {
  return new Promise((done) => {
    server.close(() => done());
    server.closeAllConnections();
  });
}
