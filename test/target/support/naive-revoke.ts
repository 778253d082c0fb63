import type { World } from './target-world.ts';

/** How a naive revocation ended: what was thrown, or nothing. */
export type NaiveOutcome = { readonly error: string | null };

/** Milliseconds; without any, some attacks would hold it for ever. */
const NAIVE_LOCK_TIMEOUT_MS = 300;

/**
 * The statements that guides recommend, as OpenBao runs them: one by one, in one transaction.
 * `drop` leaves sessions alone, as OpenBao's own default does.
 */
export const NAIVE = {
  drop: ['drop role "{{name}}"'],
  terminateAndDrop: [
    'alter role "{{name}}" nologin',
    `select pg_terminate_backend(pid) from pg_stat_activity where usename = '{{name}}'`,
    'drop role "{{name}}"',
  ],
  terminateWaitAndDrop: [
    'alter role "{{name}}" nologin',
    `select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = '{{name}}'`,
    'drop role "{{name}}"',
  ],
  dropOwned: [
    'alter role "{{name}}" nologin',
    `select pg_terminate_backend(pid) from pg_stat_activity where usename = '{{name}}'`,
    'grant "{{name}}" to current_user',
    'drop owned by "{{name}}"',
    'drop role "{{name}}"',
  ],
  reassignToGroup: [
    'alter role "{{name}}" nologin',
    'grant "{{name}}" to current_user',
    'grant orders_write to current_user',
    'reassign owned by "{{name}}" to orders_write',
    'drop owned by "{{name}}"',
    'drop role "{{name}}"',
  ],
  newPassword: [`alter role "{{name}}" password 'nobody knows'`],
} as const;

/** Revokes as a backend without Mayfly would, with the superuser that guides hand it. */
export async function naiveRevoke(
  world: World,
  name: string,
  statements: readonly string[],
): Promise<NaiveOutcome> {
  const { root } = world;
  await root.query('begin');
  try {
    await root.query(`set local lock_timeout = ${NAIVE_LOCK_TIMEOUT_MS}`);
    for (const statement of statements) {
      await root.query(statement.replaceAll('{{name}}', name));
    }
    await root.query('commit');
    return { error: null };
  } catch (error) {
    await root.query('rollback');
    return { error: error instanceof Error ? error.message : String(error) };
  }
}
