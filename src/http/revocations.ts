import { z } from 'zod';
import { succeed } from '../foundation/result.ts';
import type { Revocation } from '../broker/broker.ts';
import type { Selector } from '../ledger/stop.ts';
import { manyEndedJson } from './agent-json.ts';
import { operatorCaller } from './bearer.ts';
import type { Endpoint } from './endpoint.ts';
import { readJson } from './json-body.ts';
import type { HttpParts } from './parts.ts';
import { waitSecondsOf } from './prefer-wait.ts';
import { VisibleProse } from './visible-prose.ts';

/** Compared as it is; as long as the longest subject that an agent may have. */
const Member = z
  .string()
  .regex(/^[\x20-\x7e]{1,2048}$/, 'must be 1 to 2048 printable ASCII characters')
  .optional();

const Body = z.strictObject({
  selector: z
    .strictObject({
      agent: Member,
      instance: Member,
      task_type: Member,
      workflow: Member,
      scope: Member,
      issuer: Member,
      person: z
        .undefined('no lease is on behalf of a person yet: select by another member')
        .optional(),
    })
    .refine(
      (selector) => Object.values(selector).some((value) => value !== undefined),
      'name at least one member: an empty selector would end everything',
    ),
  reason: VisibleProse,
  dry_run: z.boolean().optional(),
});

/**
 * `POST /v1/revocations`: ends every lease that matches all given members; 200 when they are dead,
 * 202 with counts when that takes longer than `Prefer: wait=N`.
 */
export function revocationsEndpoint({ broker, clock }: HttpParts): Endpoint {
  return async ({ request, notes }) => {
    const caller = await operatorCaller(request, broker.authenticator);
    if (!caller.ok) return caller;
    Object.assign(notes, { operator: caller.value.name });
    const body = await readJson(request, Body, clock);
    if (!body.ok) return body;
    const { reason, dry_run: dryRun = false } = body.value;
    const selector = selectorOf(body.value.selector);
    Object.assign(notes, { selector, dry_run: dryRun });
    const wait = waitSecondsOf(request);
    const done = await broker.revokeSelected(caller.value, { selector, reason, dryRun }, wait);
    if (!done.ok) return done;
    Object.assign(notes, { fenced: done.value.fenced });
    return succeed({
      status: isDone(done.value, dryRun) ? 200 : 202,
      headers: { 'Preference-Applied': `wait=${wait}` },
      body: revocationJson(done.value, body.value.selector, dryRun),
    });
  };
}

function selectorOf(given: z.output<typeof Body>['selector']): Selector {
  return {
    agentId: given.agent ?? null,
    instance: given.instance ?? null,
    taskType: given.task_type ?? null,
    workflow: given.workflow ?? null,
    scope: given.scope ?? null,
    issuer: given.issuer ?? null,
  };
}

function isDone({ dying, underWay }: Revocation, dryRun: boolean): boolean {
  return dryRun || (dying === 0 && underWay === 0);
}

function revocationJson(
  { id, matching, underWay, ...ended }: Revocation,
  selector: z.output<typeof Body>['selector'],
  dryRun: boolean,
) {
  return {
    id,
    dry_run: dryRun,
    selector,
    leases: { matching, ...manyEndedJson(ended), under_way: underWay },
  };
}
