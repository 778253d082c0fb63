import { quoteIdentifier } from './quoting.ts';

/** A function or procedure that is installed at the target. */
export type Routine = {
  readonly kind: 'function' | 'procedure';
  readonly name: string;
  /** Its arguments as declared, `in` ones and results alike. */
  readonly declared: string;
  /** The types of its `in` (and `inout`) arguments: with the name, its identity. Never changed. */
  readonly identity: string;
  readonly returns?: string;
  readonly definer: boolean;
  /** Settings that hold while it runs. */
  readonly settings: readonly string[];
  readonly body: string;
  /** Who may execute it besides its owner: OpenBao's admin role, the guard, nobody. */
  readonly for: 'admin' | 'guard' | 'owner';
};

/** Resolves every name in the catalogue; `pg_temp` last, so that nothing in it can stand in. */
export const SAFE_SEARCH_PATH = 'search_path = pg_catalog, pg_temp';

/**
 * A holder may keep a row or an object locked for as long as he likes. Milliseconds that one step
 * waits for him before it leaves the name for the next pass.
 */
export const LOCK_PATIENCE_MS = 200;
export const SHORT_LOCK_TIMEOUT = `lock_timeout = '${LOCK_PATIENCE_MS}ms'`;

export function routineIdentity(schema: string, routine: Routine): string {
  return `${quoteIdentifier(schema)}.${quoteIdentifier(routine.name)}(${routine.identity})`;
}

/** `create or replace`: it is in force at once, also for statements that leases already hold. */
export function createRoutine(schema: string, routine: Routine): string {
  const returns = routine.returns === undefined ? '' : `returns ${routine.returns}`;
  return `create or replace ${routine.kind} ${quoteIdentifier(schema)}.${quoteIdentifier(routine.name)}(${routine.declared})
${returns}
language plpgsql
${routine.definer ? 'security definer' : 'security invoker'}
${routine.settings.map((setting) => `set ${setting}`).join('\n')}
as $mayfly$${routine.body}$mayfly$`;
}
