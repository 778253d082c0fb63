import { encodeName } from '../../dist/target/credential-name.js';
import type { Random } from './random.ts';
import type { Handed } from './record.ts';
import type { Stage } from './stage.ts';
import { someBroker } from './stage.ts';

/** A database of the same cluster in which something depends on a credential's role. */
const ELSEWHERE = 'chaos';

/** Residue is tried again once a minute: with so many of them some are due all the time. */
const RESIDUES = 40;

/** Milliseconds past its deadline after which a name is taken for dead by everybody. */
const LONG_DEAD_MS = 7_000;

let made = 0;

export async function preparePlants({ oracle }: Pick<Stage, 'oracle'>): Promise<void> {
  await oracle.sql('orders', `create database ${ELSEWHERE}`);
  await oracle.sql('orders', `revoke connect on database ${ELSEWHERE} from public`);
}

/** Credentials that cannot be dropped at their end, since a stranger's table depends on them. */
export async function plantResidue(stage: Stage): Promise<void> {
  while (made < RESIDUES && !stage.ending && !stage.done) {
    made += 1;
    const at = someBroker(stage);
    const handed = await stage.lives.live('abandon', { exchangeAt: at, endAt: at });
    if (!handed) continue;
    const table = `pinned_${made}`;
    await stage.oracle
      .sql(ELSEWHERE, `create table ${table} (); alter table ${table} owner to "${handed.name}"`)
      .then(() => stage.record.pinned.push(handed))
      .catch(() => undefined);
  }
}

/** What was planted goes, so that the next try of each residue succeeds. */
export async function pullPlants({ oracle }: Stage): Promise<void> {
  await oracle.sql('orders', `drop database ${ELSEWHERE} with (force)`);
}

/** A user under the name of a lease that is long closed, as a restored target would have it. */
export async function plantRisen(stage: Stage): Promise<void> {
  const dead = stage.record.handed.findLast(
    ({ name, deadlineMs }) =>
      Date.now() - deadlineMs > LONG_DEAD_MS && !stage.watch.planted.has(name),
  );
  if (!dead) return;
  stage.watch.planted.add(dead.name);
  await stage.oracle.sql('orders', `create role "${dead.name}" login in role orders_readers`);
}

/** Milliseconds by which an orphan's name is older than any grace. */
const OLD_MS = 120_000;

/** A user with a name of ours that no ledger ever heard of, as a lost ledger would leave it. */
export async function plantStranger(stage: Stage): Promise<void> {
  const name = strangersName(stage);
  stage.watch.planted.add(name);
  await stage.oracle.sql('orders', `create role "${name}" login in role orders_readers`);
}

/** A lease in OpenBao that no ledger ever heard of, with its user. */
export async function plantBackendLease(stage: Stage): Promise<void> {
  const name = strangersName(stage);
  stage.watch.planted.add(name);
  const made = await stage.oracle.backend('POST', 'auth/token/create/mayfly-orders-read', {
    display_name: name,
    ttl: '180s',
  });
  const token = (made['auth'] as { client_token?: string } | undefined)?.client_token;
  const minted = await stage.oracle.backend('GET', 'mayfly-orders/creds/orders-read', null, token);
  if (typeof minted['lease_id'] === 'string') stage.watch.plantedLeases.add(minted['lease_id']);
}

/** A live lease that somebody revokes in OpenBao, behind Mayfly's back. */
export async function plantMissing(stage: Stage): Promise<void> {
  const at = someBroker(stage);
  const handed = await stage.lives.live('linger', { exchangeAt: at, endAt: at });
  if (!handed) return;
  const [row] = await stage.oracle.ledger<{ id: string }>(
    'select backend_lease_id as id from mayfly.lease where id = $1',
    [handed.leaseId],
  );
  stage.watch.bereft.add(handed.name);
  await stage.oracle.backend('POST', 'sys/leases/revoke', { lease_id: row?.id, sync: true });
}

/** A user under a lease that is closed, and whose name is not past its deadline yet. */
export async function plantEarlyRisen(stage: Stage): Promise<void> {
  const dead = stage.record.handed.findLast(
    ({ name, deadSaidAtMs, deadlineMs }: Handed) =>
      deadSaidAtMs !== undefined &&
      // Long enough ago that nobody takes it for the same ending.
      Date.now() - deadSaidAtMs > LONG_DEAD_MS &&
      deadlineMs - Date.now() > 3_000 &&
      !stage.watch.planted.has(name),
  );
  if (!dead) return;
  stage.watch.planted.add(dead.name);
  await stage.oracle.sql('orders', `create role "${dead.name}" login in role orders_readers`);
}

function strangersName({ world, random }: Stage): string {
  return encodeName({
    installation: world.installation,
    leaseId: uuidOf(Date.now() - OLD_MS, random),
    deadline: new Date(Date.now() + OLD_MS),
  });
}

function uuidOf(ms: number, random: Random): string {
  const time = ms.toString(16).padStart(12, '0');
  const digits = Array.from({ length: 15 }, () => random.between(0, 15).toString(16)).join('');
  return `${time.slice(0, 8)}-${time.slice(8)}-7${digits.slice(0, 3)}-8${digits.slice(3, 6)}-${digits.slice(3)}`;
}
