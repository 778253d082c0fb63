import { z } from 'zod';
import { reconciliationJson } from '../broker/reconciliation-json.ts';
import { succeed } from '../foundation/result.ts';
import { operatorCaller } from './bearer.ts';
import type { Endpoint } from './endpoint.ts';
import { readJson } from './json-body.ts';
import type { HttpParts } from './parts.ts';

const Body = z.strictObject({ dry_run: z.boolean().default(false) });

/** `POST /v1/reconciliations`: compares now, and answers when it is done. */
export function reconcileEndpoint({ broker, clock }: HttpParts): Endpoint {
  return async ({ request, notes }) => {
    const caller = await operatorCaller(request, broker.authenticator);
    if (!caller.ok) return caller;
    const body = await readJson(request, Body, clock);
    if (!body.ok) return body;
    const { dry_run: dryRun } = body.value;
    Object.assign(notes, { operator: caller.value.name, dry_run: dryRun });
    const done = await broker.reconcile(caller.value, dryRun);
    if (!done.ok) return done;
    return succeed({ status: 200, body: reconciliationJson(done.value) });
  };
}
