import type { World } from '../../../src/commands/demo/world.ts';

/** OpenBao as its administrator sees it, past every proxy. */
export type BackendAdmin = {
  call(method: string, path: string, body?: object): Promise<{ status: number; body: Data }>;
  /** Sends OpenBao to its target by another port, as `server` in the catalogue would. */
  leadBy(port: number): Promise<void>;
  /** Lease ids below a role. */
  leases(role: string): Promise<readonly string[]>;
};

type Data = {
  readonly data?: Record<string, unknown> & { readonly keys?: string[] };
  readonly errors?: readonly string[];
};

const CONFIG = 'mayfly-orders/config/orders';

export async function backendAdmin(world: World): Promise<BackendAdmin> {
  const token = (await world.admin.backendToken()).reveal();
  const call: BackendAdmin['call'] = async (method, path, body) => {
    const answer = await fetch(`http://127.0.0.1:${world.backend.port}/v1/${path}`, {
      method,
      headers: { 'x-vault-token': token },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    return { status: answer.status, body: (text === '' ? {} : JSON.parse(text)) as Data };
  };
  return {
    call,
    leadBy: async (port) => {
      const { body } = await call('GET', CONFIG);
      const details = body.data?.['connection_details'] as { connection_url: string };
      const url = details.connection_url.replace(/@127\.0\.0\.1:\d+\//, `@127.0.0.1:${port}/`);
      const done = await call('POST', CONFIG, { connection_url: url });
      if (done.status >= 300) throw new Error(`config not changed: ${String(done.body.errors)}`);
    },
    leases: async (role) => {
      const { status, body } = await call(
        'GET',
        `sys/leases/lookup/mayfly-orders/creds/${role}/?list=true`,
      );
      if (status === 404) return [];
      return (body.data?.keys ?? []).map((key) => `mayfly-orders/creds/${role}/${key}`);
    },
  };
}
