import type pg from 'pg';
import { postgresGuard } from '../../../src/target/postgres/guard.ts';
import { postgresProver } from '../../../src/target/postgres/prover.ts';
import type { Statement, WarmConnections } from '../../../src/target/postgres/warm-connections.ts';
import type { TargetAccess } from '../../../src/target/target-access.ts';
import type { ModelTarget } from './target-model.ts';

/** What one statement does: step by step, with a commit between. */
export type ServerWork = Generator<void, readonly object[]>;

/** Runs a statement at the server: at once, or over a network in virtual time. */
export type CarryStatement = (
  what: string,
  detail: string,
  work: () => ServerWork,
) => Promise<readonly object[]>;

/** The statements that guard and prover send, answered by the model. */
export function statementWork(
  target: ModelTarget,
  { name }: Statement,
  values: readonly unknown[],
): ServerWork {
  switch (name) {
    case 'finish':
      return finish(target, values[0] as readonly string[], values[1] as number);
    case 'list':
      return once(() => target.list());
    case 'overdue':
      return once(() => target.overdue(values[0] as number));
    case 'now':
      return once(() => [{ now: target.now() }]);
    case 'here':
      return once(() => [{ now: target.now(), server: target.server }]);
    case 'tidy':
      return once(() => [{ tidy: '0' }]);
    case 'strangers':
      return once(() => []);
    case 'look':
      return once(() =>
        target.look(values[0] as readonly string[], values[1] as readonly (number | null)[]),
      );
    default:
      throw new Error(`the target's model does not know the statement ${name} yet`);
  }
}

function* finish(target: ModelTarget, names: readonly string[], passes: number): ServerWork {
  return [{ answer: yield* target.finish(names, passes) }];
}

function* once(work: () => readonly object[]): ServerWork {
  return work();
}

/** The real guard and prover over the model's statements. */
export function modelAccess(
  target: ModelTarget,
  installation: string,
  lanes: number,
  carry: CarryStatement,
  proverAt: ModelTarget = target,
): TargetAccess {
  const over = (server: ModelTarget): WarmConnections => ({
    async ask<Row extends pg.QueryResultRow>(statement: Statement, values: unknown[]) {
      const detail = statement.name === 'finish' ? String(values[0]) : '';
      const rows = await carry(statement.name, detail, () =>
        statementWork(server, statement, values),
      );
      return rows as Row[];
    },
    close: () => Promise.resolve(),
  });
  return {
    guard: postgresGuard(over(target), installation, lanes),
    prover: postgresProver(over(proverAt), installation, lanes),
  };
}

/** Without network or time between: for the contract. */
export const carryNow: CarryStatement = (_what, _detail, work) =>
  new Promise((resolve) => {
    const running = work();
    for (;;) {
      const { done, value } = running.next();
      if (done === true) return resolve(value);
    }
  });
