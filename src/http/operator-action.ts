import { z } from 'zod';
import type { Failure } from '../foundation/failure.ts';
import { succeed } from '../foundation/result.ts';
import type { Result } from '../foundation/result.ts';
import type { OperatorCaller } from '../identity/principal.ts';
import { operatorCaller } from './bearer.ts';
import type { Call } from './endpoint.ts';
import { readJson } from './json-body.ts';
import type { HttpParts } from './parts.ts';
import { pathAgent, pathId } from './path-id.ts';
import { waitSecondsOf } from './prefer-wait.ts';
import { VisibleProse } from './visible-prose.ts';

/** What an operator does to one thing: who, to which, why, and how long the caller waits. */
export type OperatorAction = {
  readonly caller: OperatorCaller;
  readonly id: string;
  readonly reason: string;
  readonly waitSeconds: number;
};

const Body = z.strictObject({ reason: VisibleProse });

/**
 * How the thing is called in the log line of the request. An agent is noted once it is known to be
 * one: what somebody typed in its place may be anything.
 */
const NOTED = { lease: 'lease_id', task: 'task_id' } as const;

/**
 * Reads an action with a reason, of which the path names the thing. Whoever is no operator is told so
 * before anything of the request is looked at.
 */
export async function operatorAction(
  { broker, clock }: HttpParts,
  { request, notes }: Call,
  on: keyof typeof NOTED | 'agent',
): Promise<Result<OperatorAction, Failure>> {
  const caller = await operatorCaller(request, broker.authenticator);
  if (!caller.ok) return caller;
  const id = on === 'agent' ? pathAgent(request) : pathId(request, on);
  if (!id.ok) return id;
  notes['operator'] = caller.value.name;
  if (on !== 'agent') notes[NOTED[on]] = id.value;
  const body = await readJson(request, Body, clock);
  if (!body.ok) return body;
  const waitSeconds = waitSecondsOf(request);
  return succeed({ caller: caller.value, id: id.value, reason: body.value.reason, waitSeconds });
}

/** Says for how long the answer was waited for (RFC 7240 3). */
export function waited({ waitSeconds }: OperatorAction): Readonly<Record<string, string>> {
  return { 'Preference-Applied': `wait=${waitSeconds}` };
}
