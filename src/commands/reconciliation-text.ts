import { z } from 'zod';
import { table } from './print.ts';

const Numbers = z.record(z.string(), z.number());

/** The members of a reconciliation that are shown; the answer may have more. */
export const ReconciliationAnswer = z.looseObject({
  dry_run: z.boolean(),
  seconds: z.number(),
  complete: z.boolean(),
  before: Numbers,
  after: Numbers,
  within_grace: z.number(),
  settled: z.number(),
  looked_at: Numbers,
  findings: z.array(
    z.looseObject({
      kind: z.string(),
      place: z.string(),
      name: z.string(),
      lease_id: z.string().nullable(),
      outcome: z.string(),
      detail: z.string().nullable(),
    }),
  ),
  findings_left_out: z.number(),
  strangers: z.looseObject({ users: z.number() }),
  problems: z.array(z.looseObject({ place: z.string(), detail: z.string() })),
});
type Answer = z.infer<typeof ReconciliationAnswer>;

/** How many findings are left, of all three kinds. */
export function numbersLeft({ after }: Answer): number {
  return Object.values(after).reduce((sum, count) => sum + count, 0);
}

/** What was found and what came of it, for people. */
export function reconciliationText(answer: Answer): string {
  const { before, after, findings, looked_at: seen } = answer;
  const counts = Object.keys(before).map((kind) => [
    kind,
    String(before[kind] ?? 0),
    String(after[kind] ?? 0),
  ]);
  const rows = findings.map(({ kind, place, name, lease_id: lease, outcome, detail }) => [
    outcome,
    kind,
    place,
    name,
    lease ?? '',
    detail ?? '',
  ]);
  const heading = ['OUTCOME', 'FOUND', 'PLACE', 'NAME', 'LEASE', ''];
  return [
    ...(rows.length > 0 ? [table([heading, ...rows]), ''] : []),
    ...(answer.findings_left_out > 0 ? [`and ${answer.findings_left_out} more`, ''] : []),
    table([['FOUND', 'BEFORE', 'AFTER'], ...counts]),
    `Looked at ${seen['backend_leases']} leases in OpenBao, ${seen['open_leases']} in the ledger, ` +
      `${seen['users']} users, in ${answer.seconds.toFixed(2)} s.`,
    ...(answer.within_grace > 0 ? [`${answer.within_grace} too young to be judged.`] : []),
    ...(answer.settled > 0 ? [`${answer.settled} dead leases settled by the list.`] : []),
    ...(answer.strangers.users > 0
      ? [`${answer.strangers.users} users of other installations: not touched.`]
      : []),
    ...answer.problems.map(({ place, detail }) => `not looked at: ${place}: ${detail}`),
    ...(answer.dry_run ? ['This was a dry run: nothing was changed.'] : []),
  ].join('\n');
}
