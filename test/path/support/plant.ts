import { randomBytes } from 'node:crypto';
import { uuidv7 } from '../../../src/foundation/ids.ts';
import { encodeName } from '../../../src/target/credential-name.ts';
import type { BackendAdmin } from './backend-admin.ts';
import type { PathWorld } from './path-world.ts';

/** What a crash, a bug or an administrator may leave behind, made by hand and past the broker. */
export type Planter = {
  /** A name that no lease has, made so many seconds ago; its deadline is ten minutes ahead. */
  name(ageSeconds?: number): string;
  /** Mints as OpenBao's administrator: a backend lease and a user that the ledger never saw. */
  backendLease(): Promise<{ readonly id: string; readonly user: string }>;
  /** A user made through the target's own routine, without OpenBao and without a lease. */
  user(name?: string): Promise<string>;
  /** A plain role by this name that can log in, past every routine. */
  role(name: string): Promise<void>;
};

/** Of the password `planted`; what it opens does not matter. */
const VERIFIER =
  'SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0c2FsdA==$n6y9A3Oe9YjNjsvDKpjKhVhNlJgO0RvYvD2dPzVpE3Q=:n6y9A3Oe9YjNjsvDKpjKhVhNlJgO0RvYvD2dPzVpE3Q=';

const LIFE_MS = 600_000;

export function planter(path: PathWorld, admin: BackendAdmin): Planter {
  const { installation, backend } = path.world;
  const name = (ageSeconds = 0) =>
    encodeName({
      installation,
      leaseId: uuidv7(Date.now() - ageSeconds * 1000, randomBytes(10)),
      deadline: new Date(Date.now() + LIFE_MS),
    });
  return {
    name,
    async backendLease() {
      const user = name();
      const { body } = await admin.call('POST', 'auth/token/create/mayfly-orders-read', {
        display_name: user,
        ttl: '600s',
      });
      const { auth } = body as { readonly auth?: { readonly client_token: string } };
      const minted = await fetch(`${backend.address}/v1/mayfly-orders/creds/orders-read`, {
        headers: { 'x-vault-token': auth?.client_token ?? '' },
      });
      const { lease_id: id } = (await minted.json()) as { readonly lease_id?: string };
      if (id === undefined) throw new Error('nothing was minted');
      return { id, user };
    },
    async user(wanted = name()) {
      const make = `select mayfly_${installation}.make('${wanted}', '${VERIFIER}', 'orders_readers')`;
      await path.oracle.target(`begin; set local role mayfly_admin; ${make}; commit`);
      return wanted;
    },
    async role(wanted) {
      await path.oracle.target(`create role "${wanted}" login in role orders_readers`);
    },
  };
}
