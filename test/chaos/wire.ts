import pg from 'pg';

/** What came back; status 0: nothing did (refused, reset, too slow, given up). */
export type Answer = { readonly status: number; readonly body: Readonly<Record<string, unknown>> };

const NOTHING: Answer = { status: 0, body: {} };

/** One call to a broker that may be dead, frozen or dying. */
export async function call(
  url: string,
  options: {
    readonly token?: string;
    readonly json?: unknown;
    readonly form?: URLSearchParams;
    readonly waitSeconds?: number;
    readonly timeoutMs: number;
  },
): Promise<Answer> {
  const { token, json, form, waitSeconds } = options;
  try {
    const response = await fetch(url, {
      method: 'POST',
      signal: AbortSignal.timeout(options.timeoutMs),
      headers: {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(json === undefined ? {} : { 'content-type': 'application/json' }),
        ...(waitSeconds === undefined ? {} : { prefer: `wait=${waitSeconds}` }),
      },
      body: form ?? JSON.stringify(json ?? {}),
    });
    const text = await response.text();
    return {
      status: response.status,
      body: text === '' ? {} : (JSON.parse(text) as Answer['body']),
    };
  } catch {
    return NOTHING;
  }
}

/** `unreachable`: the target itself could not be asked. */
export type Login = 'in' | 'refused' | 'unreachable';

const LOGIN_TIMEOUT_MS = 4_000;

/** Tries a credential at the target itself, past every link. */
export async function tryLogin(uri: string, port: number): Promise<Login> {
  const client = connection(uri, port);
  try {
    await client.connect();
    await client.query('select 1');
    return 'in';
  } catch (error) {
    const code = (error as { code?: unknown }).code;
    // Wrong password, no such role, may not log in, may not connect, past its VALID UNTIL.
    const said = typeof code === 'string' && /^(28...|42501|3D000)$/.test(code);
    return said ? 'refused' : 'unreachable';
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** A session that somebody holds; undefined where the target did not let him in. */
export async function hold(uri: string, port: number): Promise<pg.Client | undefined> {
  const client = connection(uri, port);
  try {
    await client.connect();
    return client;
  } catch {
    await client.end().catch(() => undefined);
    return undefined;
  }
}

function connection(uri: string, port: number): pg.Client {
  const url = new URL(uri);
  url.port = String(port);
  const client = new pg.Client({
    connectionString: url.href,
    connectionTimeoutMillis: LOGIN_TIMEOUT_MS,
    query_timeout: LOGIN_TIMEOUT_MS,
  });
  client.on('error', () => undefined);
  return client;
}
