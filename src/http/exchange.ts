import type { Request } from 'express';
import { succeed } from '../foundation/result.ts';
import type { Endpoint } from './endpoint.ts';
import { exchangeJson } from './exchange-json.ts';
import { readForm } from './form.ts';
import type { HttpParts } from './parts.ts';
import { readExchange } from './read-exchange.ts';

/**
 * `POST /exchange`: token exchange of RFC 8693. Client credentials of any kind are ignored: the
 * subject token authenticates. A caller that left before its answer never had the credential, so
 * that is ended.
 */
export function exchangeEndpoint({ broker, clock, log, metrics }: HttpParts): Endpoint {
  return async ({ request, requestId, notes }) => {
    const form = await readForm(request, clock);
    const asked = form.ok ? readExchange(form.value, keyOf(request)) : form;
    if (!asked.ok) {
      metrics.refusedBeforeAgent(asked.failure.reason);
      return asked;
    }
    const granted = await broker.exchange(asked.value);
    if (!granted.ok) return granted;
    const { lease, task, decisionId } = granted.value;
    Object.assign(notes, {
      agent: lease.agentId,
      instance: lease.instance,
      task_id: task.id,
      lease_id: lease.id,
      scope: lease.scope,
      decision_id: decisionId,
      expires_in: granted.value.expiresInSeconds,
    });
    return succeed({
      status: 200,
      body: exchangeJson(granted.value),
      onLost: async () => {
        log.warn({ request_id: requestId, lease_id: lease.id }, 'answer lost; ending its lease');
        await broker.answerLost(lease.id);
      },
    });
  };
}

/** Node joins a header that came twice with a comma and a space, which no key may hold. */
function keyOf(request: Request): string | undefined {
  return request.headers['idempotency-key']?.toString();
}
