import { z } from 'zod';
import { table } from './print.ts';

/** The members of a list of leases that the table shows; the answer has more. */
export const LeaseList = z.looseObject({
  leases: z.array(
    z.looseObject({
      id: z.string(),
      agent: z.string(),
      task_id: z.string(),
      scope: z.string(),
      state: z.string(),
      deadline: z.string(),
      revocability: z.string(),
      late_reason: z.string().nullish(),
      residue: z.string().nullish(),
      repeat_of: z.string().nullish(),
    }),
  ),
  cursor: z.string().nullish(),
});

/** One row a lease, oldest deadline first as the broker sends them. */
export function leaseTable(answer: z.infer<typeof LeaseList>): string {
  if (answer.leases.length === 0) return 'No leases.';
  const rows = answer.leases.map((lease) => [
    lease.id,
    lease.agent,
    lease.scope,
    lease.state,
    lease.deadline,
    lease.revocability,
    lease.task_id,
    noteOn(lease),
  ]);
  return table([
    ['LEASE', 'AGENT', 'SCOPE', 'STATE', 'DEADLINE', 'REVOCABILITY', 'TASK', 'NOTE'],
    ...rows,
  ]);
}

function noteOn({ late_reason, residue, repeat_of }: z.infer<typeof LeaseList>['leases'][number]) {
  const repeat = repeat_of ? `asked again after ${repeat_of}` : '';
  return late_reason ?? residue ?? repeat;
}
