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
