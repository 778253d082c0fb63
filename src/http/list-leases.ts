import { z } from 'zod';
import { succeed } from '../foundation/result.ts';
import type { LeaseState } from '../ledger/lease-states.ts';
import type { LeaseFilter } from '../ledger/ledger.ts';
import { operatorCaller } from './bearer.ts';
import type { Endpoint } from './endpoint.ts';
import { listedLeaseJson } from './lease-json.ts';
import { Flag, PAGING, Wanted } from './paging.ts';
import type { HttpParts } from './parts.ts';
import { readQuery } from './query.ts';

/** Exhaustive by its type; true for those that are shown unless asked otherwise. */
const LIVE: Readonly<Record<LeaseState, boolean>> = {
  minting: true,
  active: true,
  revoking: true,
  revoked: false,
  settled: false,
  abandoned: false,
};
const STATES = Object.keys(LIVE) as LeaseState[];
const LIVE_STATES = STATES.filter((state) => LIVE[state]);

const Query = z.object({
  state: z
    .string()
    .refine(isStates, `must be "all", or some of ${STATES.join(', ')}, separated by commas`)
    .transform((text) => (text === 'all' ? STATES : (text.split(',') as LeaseState[])))
    .optional(),
  agent: Wanted.optional(),
  scope: Wanted.optional(),
  task: z.uuid('must be the id of a task').optional(),
  owner: Wanted.optional(),
  expires_before: z.iso
    .datetime({ offset: true, error: 'must be an RFC 3339 instant' })
    .transform((text) => new Date(text))
    .optional(),
  credential_sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/, 'must be 64 hexadecimal digits in lower case')
    .transform((hex) => Buffer.from(hex, 'hex'))
    .optional(),
  late: Flag.optional(),
  unsettled: Flag.optional(),
  residue: Flag.optional(),
  ...PAGING,
});

/** `GET /v1/leases`: live ones unless a filter asks for others; keyset paging. */
export function listLeasesEndpoint({ broker }: HttpParts): Endpoint {
  return async ({ request }) => {
    const caller = await operatorCaller(request, broker.authenticator);
    if (!caller.ok) return caller;
    const query = readQuery(request, Query);
    if (!query.ok) return query;
    const { limit, cursor } = query.value;
    const page = await broker.listLeases(
      caller.value,
      filterOf(query.value),
      limit,
      cursor ?? null,
    );
    if (!page.ok) return page;
    const { items, cursor: next } = page.value;
    return succeed({ status: 200, body: { leases: items.map(listedLeaseJson), cursor: next } });
  };
}

function filterOf(query: z.output<typeof Query>): LeaseFilter {
  const { agent, scope, task, owner, late, unsettled, residue } = query;
  const { expires_before: expiresBefore, credential_sha256: credentialSha256 } = query;
  return {
    states: query.state ?? (looksAtTheDead(query) ? STATES : LIVE_STATES),
    ...(agent === undefined ? {} : { agentId: agent }),
    ...(scope === undefined ? {} : { scope }),
    ...(task === undefined ? {} : { taskId: task }),
    ...(owner === undefined ? {} : { owner }),
    ...(expiresBefore === undefined ? {} : { expiresBefore }),
    ...(credentialSha256 === undefined ? {} : { credentialSha256 }),
    ...(late === undefined ? {} : { late }),
    ...(unsettled === undefined ? {} : { unsettled }),
    ...(residue === undefined ? {} : { residue }),
  };
}

/** These filters ask about leases that are dead, or that may be. */
function looksAtTheDead(query: z.output<typeof Query>): boolean {
  return (
    query.unsettled === true || query.residue === true || query.credential_sha256 !== undefined
  );
}

function isStates(text: string): boolean {
  return text === 'all' || text.split(',').every((one) => STATES.includes(one as LeaseState));
}
