import { failure } from '../foundation/failure.ts';
import type { Failure } from '../foundation/failure.ts';
import { fail, succeed } from '../foundation/result.ts';
import type { Result } from '../foundation/result.ts';
import { repeatedMember } from '../foundation/strict-json.ts';
import { SHORTEST_TTL_SECONDS } from './margins.ts';
import { isVisibleLine } from './visible-line.ts';

/** The task as its agent declared it, before the task type filled in what was left out. */
export type DeclaredTask = {
  readonly taskType: string;
  readonly identifier: string;
  readonly purpose: string | null;
  readonly workflow: string | null;
  readonly actions: readonly string[] | null;
  readonly locations: readonly string[] | null;
  readonly datatypes: readonly string[] | null;
  readonly parameters: Readonly<Record<string, string>>;
  readonly delegation: { readonly maxDepth: number; readonly maxChildren: number } | null;
  readonly maxTtlSeconds: number | null;
};

/** Bytes of `authorization_details`, as UTF-8. */
export const DETAILS_MAX_BYTES = 8 * 1024;
/** Characters. */
export const PURPOSE_MAX = 500;
/** Entries of each of actions, locations and data types. */
export const ENTRIES_MAX = 32;
/** Members of `parameters`. */
export const PARAMETERS_MAX = 16;
/** Depth and number of children that a task may ask for at most. */
export const DELEGATION_MAX = 16;

const IDENTIFIER = /^[A-Za-z0-9._:-]{1,128}$/;
const TYPE_NAME = /^[a-z][a-z0-9-]{0,62}$/;
const ENTRY = /^[\x21-\x7e]{1,256}$/;
const TASK_URN = 'urn:mayfly:task:';

const MEMBERS = new Set([
  'type',
  'task_type',
  'identifier',
  'purpose',
  'actions',
  'locations',
  'datatypes',
  'max_ttl',
  'workflow',
  'delegation',
  'parameters',
]);

/**
 * Reads the one `agent_task` of an exchange (RFC 9396 section 5: whatever is unknown, malformed or
 * missing is refused), or the URN `urn:mayfly:task:<task_type>:<identifier>` of callers that
 * cannot send `authorization_details`.
 */
export function declareTask(
  authorizationDetails: string | null,
  taskUrns: readonly string[],
): Result<DeclaredTask, Failure> {
  if (authorizationDetails !== null) return fromDetails(authorizationDetails);
  const urns = taskUrns.filter((value) => value.startsWith(TASK_URN));
  const [urn] = urns;
  if (urn === undefined) {
    return fail(
      failure(
        'task_missing',
        'declare the task: authorization_details with one object of type agent_task',
        { field: 'authorization_details' },
      ),
    );
  }
  if (urns.length > 1) return tooMany();
  return fromUrn(urn);
}

function fromUrn(urn: string): Result<DeclaredTask, Failure> {
  const rest = urn.slice(TASK_URN.length);
  const colon = rest.indexOf(':');
  const taskType = rest.slice(0, Math.max(0, colon));
  const identifier = rest.slice(colon + 1);
  if (!TYPE_NAME.test(taskType) || !IDENTIFIER.test(identifier)) {
    return fail(
      failure('task_urn_invalid', 'a task URN is urn:mayfly:task:<task_type>:<identifier>', {
        field: 'resource',
      }),
    );
  }
  return succeed({
    taskType,
    identifier,
    purpose: null,
    workflow: null,
    actions: null,
    locations: null,
    datatypes: null,
    parameters: {},
    delegation: null,
    maxTtlSeconds: null,
  });
}

function fromDetails(text: string): Result<DeclaredTask, Failure> {
  if (Buffer.byteLength(text, 'utf8') > DETAILS_MAX_BYTES) {
    return malformed('authorization_details', `at most ${DETAILS_MAX_BYTES} bytes`);
  }
  const parsed = parseJson(text);
  if (!Array.isArray(parsed)) {
    const rule = 'a JSON array with one object that names each member once';
    return malformed('authorization_details', rule);
  }
  const entries: unknown[] = parsed;
  if (entries.length > 1) return tooMany();
  const [entry] = entries;
  if (!isObject(entry)) return malformed('authorization_details', 'a JSON array with one object');
  if (entry.type !== 'agent_task') {
    return fail(
      failure('details_unsupported_type', 'the only supported type is agent_task', {
        field: 'type',
      }),
    );
  }
  const unknown = Object.keys(entry).find((name) => !MEMBERS.has(name));
  if (unknown !== undefined) {
    return fail(
      failure('details_unknown_member', `agent_task has no member ${printable(unknown)}`, {
        field: 'authorization_details',
      }),
    );
  }
  return readMembers(entry);
}

/** Thrown and caught inside this file only: a member that breaks its rule. */
class MemberProblem extends Error {
  readonly field: string;
  constructor(field: string, rule: string) {
    super(rule);
    this.field = field;
  }
}

function readMembers(entry: Record<string, unknown>): Result<DeclaredTask, Failure> {
  try {
    return succeed({
      taskType: required(entry, 'task_type', TYPE_NAME, 'the name of a task type'),
      identifier: required(entry, 'identifier', IDENTIFIER, '1 to 128 of A-Z a-z 0-9 . _ : -'),
      purpose: prose(entry, 'purpose'),
      workflow: optional(entry, 'workflow', IDENTIFIER, '1 to 128 of A-Z a-z 0-9 . _ : -'),
      actions: entriesOf(entry, 'actions'),
      locations: entriesOf(entry, 'locations'),
      datatypes: entriesOf(entry, 'datatypes'),
      parameters: parametersOf(entry),
      delegation: delegationOf(entry),
      maxTtlSeconds: wholeNumber(entry, 'max_ttl', SECONDS_MAX, SHORTEST_TTL_SECONDS),
    });
  } catch (problem) {
    if (problem instanceof MemberProblem) return malformed(problem.field, problem.message);
    throw problem;
  }
}

/** Seconds of a day: the longest life that any task type can allow. */
const SECONDS_MAX = 86_400;

function required(
  entry: Record<string, unknown>,
  field: string,
  pattern: RegExp,
  rule: string,
): string {
  const value = optional(entry, field, pattern, rule);
  if (value === null) throw new MemberProblem(field, `required: ${rule}`);
  return value;
}

function optional(
  entry: Record<string, unknown>,
  field: string,
  pattern: RegExp,
  rule: string,
): string | null {
  const value = entry[field];
  if (value === undefined) return null;
  if (typeof value !== 'string' || !pattern.test(value)) throw new MemberProblem(field, rule);
  return value;
}

function prose(entry: Record<string, unknown>, field: string): string | null {
  const value = entry[field];
  if (value === undefined) return null;
  const fits =
    typeof value === 'string' && [...value].length <= PURPOSE_MAX && isVisibleLine(value);
  if (!fits) {
    throw new MemberProblem(
      field,
      `1 to ${PURPOSE_MAX} characters on one line, without control or invisible ones`,
    );
  }
  return value;
}

function entriesOf(entry: Record<string, unknown>, field: string): readonly string[] | null {
  const value = entry[field];
  if (value === undefined) return null;
  const rule = `1 to ${ENTRIES_MAX} different entries of 1 to 256 visible ASCII characters`;
  if (!Array.isArray(value) || value.length < 1 || value.length > ENTRIES_MAX) {
    throw new MemberProblem(field, rule);
  }
  const entries = value.map((item: unknown) => {
    if (typeof item !== 'string' || !ENTRY.test(item)) throw new MemberProblem(field, rule);
    return item;
  });
  if (new Set(entries).size !== entries.length) throw new MemberProblem(field, rule);
  return entries;
}

function parametersOf(entry: Record<string, unknown>): Readonly<Record<string, string>> {
  const value = entry.parameters;
  if (value === undefined) return {};
  const rule = `at most ${PARAMETERS_MAX} names with values of 1 to 256 visible ASCII characters`;
  if (!isObject(value)) throw new MemberProblem('parameters', rule);
  const members = Object.entries(value);
  if (members.length > PARAMETERS_MAX) throw new MemberProblem('parameters', rule);
  return Object.fromEntries(
    members.map(([name, text]) => {
      if (!TYPE_NAME.test(name) || typeof text !== 'string' || !ENTRY.test(text)) {
        throw new MemberProblem('parameters', rule);
      }
      return [name, text];
    }),
  );
}

function delegationOf(entry: Record<string, unknown>): DeclaredTask['delegation'] {
  const value = entry.delegation;
  if (value === undefined) return null;
  const known =
    isObject(value) &&
    Object.keys(value).every((name) => name === 'max_depth' || name === 'max_children');
  if (!known) throw new MemberProblem('delegation', 'an object with max_depth and max_children');
  return {
    maxDepth: wholeNumber(value, 'max_depth', DELEGATION_MAX, 0) ?? 0,
    maxChildren: wholeNumber(value, 'max_children', DELEGATION_MAX, 0) ?? 0,
  };
}

function wholeNumber(
  entry: Record<string, unknown>,
  field: string,
  most: number,
  least = 1,
): number | null {
  const value = entry[field];
  if (value === undefined) return null;
  const fits =
    typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most;
  if (!fits) throw new MemberProblem(field, `a whole number from ${least} to ${most}`);
  return value;
}

/** Undefined also where a member is named twice: others might read another task than we do. */
function parseJson(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return repeatedMember(text) === undefined ? value : undefined;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function malformed(field: string, rule: string): Result<never, Failure> {
  return fail(failure('details_malformed', `${field} must be: ${rule}`, { field }));
}

function tooMany(): Result<never, Failure> {
  return fail(
    failure('details_too_many', 'an exchange declares exactly one task', {
      field: 'authorization_details',
    }),
  );
}

/** A foreign name, cut and stripped so that it may stand in an error. */
function printable(name: string): string {
  return name.replace(/[^\x21-\x7e]/g, '?').slice(0, 64);
}
