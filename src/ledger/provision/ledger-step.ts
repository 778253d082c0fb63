import type pg from 'pg';

/** What became of one thing that the ledger needs; or, in a plan, what would. */
export type LedgerStep = {
  readonly where: 'ledger';
  readonly what: string;
  readonly state: 'created' | 'changed' | 'unchanged';
};

/** One thing, how to see what it lacks, and how to make it so. */
export type Piece = {
  readonly what: string;
  look(client: pg.Client): Promise<LedgerStep['state']>;
  make(client: pg.Client): Promise<void>;
};

/** True when `condition`, an SQL expression over the parameters, holds. */
export async function holds(
  client: pg.Client,
  condition: string,
  values: readonly unknown[] = [],
): Promise<boolean> {
  const { rows } = await client.query<{ holds: boolean }>(`select (${condition}) as holds`, [
    ...values,
  ]);
  return rows[0]?.holds === true;
}

/** Looks at all of them, then, where `apply` is set, makes what is missing, in this order. */
export async function take(
  client: pg.Client,
  pieces: readonly Piece[],
  mode: 'plan' | 'apply',
): Promise<readonly LedgerStep[]> {
  const steps: LedgerStep[] = [];
  for (const piece of pieces) {
    steps.push({ where: 'ledger', what: piece.what, state: await piece.look(client) });
  }
  for (const [index, piece] of pieces.entries()) {
    if (mode === 'apply' && steps[index]?.state !== 'unchanged') await piece.make(client);
  }
  return steps;
}
