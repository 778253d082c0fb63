import { z } from 'zod';
import type { LedgerConfirmation } from '../broker/confirm-ledger.ts';
import { reconciliationJson } from '../broker/reconciliation-json.ts';
import { succeed } from '../foundation/result.ts';
import { operatorCaller } from './bearer.ts';
import type { Endpoint } from './endpoint.ts';
import { readJson } from './json-body.ts';
import type { HttpParts } from './parts.ts';

const Body = z.strictObject({
  confirmation: z
    .string()
    .regex(/^[0-9a-f]{16}$/, 'must be the value that was shown')
    .nullable()
    .default(null),
});

/** `POST /v1/ledger/confirm`: shows the differences; with their confirmation, goes on. */
export function confirmLedgerEndpoint({ broker, clock }: HttpParts): Endpoint {
  return async ({ request, notes }) => {
    const caller = await operatorCaller(request, broker.authenticator);
    if (!caller.ok) return caller;
    const body = await readJson(request, Body, clock);
    if (!body.ok) return body;
    notes['operator'] = caller.value.name;
    const done = await broker.confirmLedger(caller.value, body.value.confirmation);
    if (!done.ok) return done;
    notes['confirmed'] = done.value.confirmed;
    return succeed({ status: 200, body: confirmationJson(done.value) });
  };
}

function confirmationJson({ ledger, mark, differences, ...shown }: LedgerConfirmation) {
  const { cluster, epoch } = ledger;
  return {
    observing: shown.observing,
    confirmed: shown.confirmed,
    confirmation: shown.confirmation,
    ledger: { id: ledger.ledger, cluster, epoch },
    mark: mark && { id: mark.ledger, cluster: mark.cluster, epoch: mark.epoch },
    differences: reconciliationJson(differences),
  };
}
