import pg from 'pg';

/** A caller of the wire, written as an agent in any language would be. */
export type Answer = {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Readonly<Record<string, unknown>>;
};

export type Granted = {
  readonly uri: string;
  readonly username: string;
  readonly taskId: string;
  readonly leaseId: string;
};

export const EXCHANGE = {
  grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
  subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
} as const;

export type Wanted = {
  readonly identifier: string;
  readonly scope?: string;
  readonly taskType?: string;
  readonly ttl?: number;
  readonly details?: Readonly<Record<string, unknown>>;
  /** The Idempotency-Key. */
  readonly key?: string;
};

/** Sends one exchange; answers whatever came back. */
export async function exchange(broker: string, token: string, wanted: Wanted): Promise<Answer> {
  const form = new URLSearchParams({
    ...EXCHANGE,
    subject_token: token,
    scope: wanted.scope ?? 'orders-read',
    authorization_details: JSON.stringify([
      {
        type: 'agent_task',
        task_type: wanted.taskType ?? 'reconcile-invoice',
        identifier: wanted.identifier,
        ...wanted.details,
      },
    ]),
    ...(wanted.ttl === undefined ? {} : { ttl: String(wanted.ttl) }),
  });
  const headers: Record<string, string> =
    wanted.key === undefined ? {} : { 'Idempotency-Key': wanted.key };
  return answered(await fetch(`${broker}/exchange`, { method: 'POST', headers, body: form }));
}

/** An exchange that must succeed. */
export async function granted(broker: string, token: string, wanted: Wanted): Promise<Granted> {
  const answer = await exchange(broker, token, wanted);
  if (answer.status !== 200) {
    throw new Error(`exchange: ${answer.status} ${String(answer.body['error_reason'])}`);
  }
  return grantOf(answer);
}

export function grantOf({ body }: Answer): Granted {
  return {
    uri: String(body['access_token']),
    username: (body['credential'] as { username: string }).username,
    taskId: String(body['task_id']),
    leaseId: String(body['lease_id']),
  };
}

export async function complete(
  broker: string,
  token: string,
  taskId: string,
  waitSeconds?: number,
): Promise<Answer> {
  const response = await fetch(`${broker}/v1/tasks/${taskId}/complete`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      ...(waitSeconds === undefined ? {} : { prefer: `wait=${waitSeconds}` }),
    },
    body: JSON.stringify({ outcome: 'succeeded' }),
  });
  return answered(response);
}

export async function get(broker: string, path: string, token?: string): Promise<Answer> {
  const headers: Record<string, string> =
    token === undefined ? {} : { authorization: `Bearer ${token}` };
  return answered(await fetch(`${broker}${path}`, { headers }));
}

export async function post(
  broker: string,
  path: string,
  token: string,
  body: unknown,
): Promise<Answer> {
  const response = await fetch(`${broker}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return answered(response);
}

async function answered(response: Response): Promise<Answer> {
  const text = await response.text();
  let body: Record<string, unknown> = {};
  try {
    body = JSON.parse(text) as Record<string, unknown>;
  } catch {
    body = { text };
  }
  return { status: response.status, headers: response.headers, body };
}

/** Logs in with a credential; its sessions' errors are kept for the test to look at. */
export async function login(uri: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: uri, connectionTimeoutMillis: 5000 });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

/** True where the credential still opens the target. */
export async function canLogin(uri: string): Promise<boolean> {
  try {
    const client = await login(uri);
    await client.end();
    return true;
  } catch {
    return false;
  }
}

/** Waits until `look` is true, and fails with `what` after `seconds`. */
export async function until(
  what: string,
  seconds: number,
  look: () => Promise<boolean> | boolean,
): Promise<void> {
  const end = Date.now() + seconds * 1000;
  while (!(await look())) {
    if (Date.now() > end) throw new Error(`not within ${seconds} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
