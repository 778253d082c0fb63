import vault from 'node-vault';
import { fail, succeed } from '../foundation/result.ts';
import type { Result } from '../foundation/result.ts';
import type { SecretText } from '../foundation/secret-text.ts';
import { ORDINARY } from './call-bounds.ts';
import type { CallBounds } from './call-bounds.ts';
import { errorTexts, VaultHttpError } from './vault-http-error.ts';
import { openWire, withoutQuery } from './wire.ts';
import type { Wire, WireOptions, WireReply, WireRequest } from './wire.ts';

export type VaultCall = {
  /** Null for calls that need none (login, health). */
  readonly token: SecretText | null;
  readonly bounds?: CallBounds;
};

export type VaultResult = Result<unknown, VaultHttpError>;

/**
 * The four verbs of OpenBao that Mayfly uses; every call says its token. The value is the parsed
 * body of a 2xx answer, undefined when it was empty. Paths are without `/v1/` and made of names
 * that were checked before.
 */
export type VaultPort = {
  read(path: string, call: VaultCall): Promise<VaultResult>;
  write(path: string, body: object, call: VaultCall): Promise<VaultResult>;
  /** Names below `path`. */
  list(path: string, call: VaultCall): Promise<VaultResult>;
  delete(path: string, call: VaultCall): Promise<VaultResult>;
  /** Closes idle connections; calls under way end first. */
  close(): void;
};

export type VaultPortOptions = WireOptions & { readonly namespace?: string | undefined };

/**
 * The only file that knows node-vault. Its axios is replaced by our transport, its mapping of
 * answers by ours, and what it takes from the environment (VAULT_ADDR, VAULT_TOKEN,
 * VAULT_NAMESPACE, VAULT_PREFIX) is overwritten: nothing there applies silently.
 */
export function openVaultPort(options: VaultPortOptions): VaultPort {
  const wire = openWire(options);
  const base = options.address.replace(/\/$/, '');
  const client = vault({
    endpoint: base,
    token: 'none',
    noCustomHTTPVerbs: true,
    debug: () => undefined,
    'request-promise': { defaults: () => (call: VaultOptions) => sendOn(wire, base, call) },
  });
  const settings = client as typeof client & { namespace: string; pathPrefix: string };
  settings.namespace = options.namespace ?? '';
  settings.pathPrefix = '';
  // Without a token of its own the client sends only what a call brings.
  settings.token = '';
  settings.handleVaultResponse = (reply) => judge(reply as unknown as JudgedReply);
  return {
    read: (path, call) => caught(client.read(plain(path), perCall(call))),
    write: (path, body, call) => caught(client.write(plain(path), body, perCall(call))),
    list: (path, call) => caught(client.list(plain(path), perCall(call))),
    delete: (path, call) => caught(client.delete(plain(path), perCall(call))),
    close: () => wire.close(),
  };
}

/** What node-vault hands to a transport. */
type VaultOptions = Omit<WireRequest, 'path'> & { readonly uri: string };

type JudgedReply = WireReply & { readonly method: string; readonly request: { path: string } };

async function sendOn(wire: Wire, base: string, call: VaultOptions): Promise<JudgedReply> {
  const path = call.uri.slice(base.length);
  const reply = await wire.send({ ...call, path });
  return { ...reply, method: call.method, request: { path: withoutQuery(path) } };
}

function judge(reply: JudgedReply): Promise<unknown> {
  const { statusCode: status, method, rubbish } = reply;
  const facts = { method, path: reply.request.path, status };
  if (status >= 200 && status < 300) {
    if (!rubbish) return Promise.resolve(reply.body);
    return Promise.reject(new VaultHttpError({ ...facts, kind: 'rubbish', why: 'not JSON' }));
  }
  return Promise.reject(
    new VaultHttpError({
      ...facts,
      kind: 'status',
      why: `status ${status}`,
      errors: errorTexts(reply.body),
      retryAfterSeconds: reply.retryAfterSeconds,
    }),
  );
}

/** node-vault encodes nothing, and `a/../sys/seal` would reach `sys/seal`. */
function plain(path: string): string {
  if (/^[A-Za-z0-9_-][A-Za-z0-9_./?=&-]*$/.test(path) && !path.includes('..')) return path;
  throw new TypeError('a path of OpenBao is made of checked names only');
}

/** A fresh object for each call: node-vault writes into what it is given. */
function perCall({ token, bounds }: VaultCall): Record<string, unknown> {
  return {
    bounds: bounds ?? ORDINARY,
    headers: token === null ? {} : { 'X-Vault-Token': token.reveal() },
  };
}

async function caught(call: Promise<unknown>): Promise<VaultResult> {
  try {
    return succeed(await call);
  } catch (error) {
    if (error instanceof VaultHttpError) return fail(error);
    throw error;
  }
}
