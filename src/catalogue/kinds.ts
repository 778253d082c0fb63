import type { z } from 'zod';
import { Agent } from './agent.ts';
import { Issuer } from './issuer.ts';
import { Limits } from './limits.ts';
import { Operators } from './operators.ts';
import { Scope } from './scope.ts';
import { Target } from './target.ts';
import { TaskType } from './task-type.ts';

/** Where in an entry addresses are; `*` stands for any place in a list. */
export type AddressPath = readonly string[];

/** A kind of catalogue file: what it must look like and where `${setting:NAME}` may stand. */
export type Kind<Entry> = {
  /** For people: "agent", "task type". */
  readonly word: string;
  readonly definition: z.ZodType<Entry>;
  /** File name below `schemas/`, without `.json`. */
  readonly schema: string;
  readonly addresses: readonly AddressPath[];
};

/** A kind with many entries: one a file, in a folder of its own. */
export type FolderKind<Entry> = Kind<Entry> & {
  readonly folder: string;
  /** The field that names an entry. */
  readonly key: string;
};

export const ISSUERS: FolderKind<Issuer> = {
  word: 'issuer',
  folder: 'issuers',
  key: 'name',
  schema: 'issuer',
  definition: Issuer,
  addresses: [['issuer'], ['keys', 'jwks_url'], ['keys', 'bundle_url']],
};

export const AGENTS: FolderKind<Agent> = {
  word: 'agent',
  folder: 'agents',
  key: 'id',
  schema: 'agent',
  definition: Agent,
  addresses: [],
};

export const TASK_TYPES: FolderKind<TaskType> = {
  word: 'task type',
  folder: 'tasks',
  key: 'name',
  schema: 'task-type',
  definition: TaskType,
  addresses: [],
};

export const SCOPES: FolderKind<Scope> = {
  word: 'scope',
  folder: 'scopes',
  key: 'name',
  schema: 'scope',
  definition: Scope,
  addresses: [],
};

export const TARGETS: FolderKind<Target> = {
  word: 'target',
  folder: 'targets',
  key: 'name',
  schema: 'target',
  definition: Target,
  addresses: [
    ['client', 'host'],
    ['client', 'port'],
    ['server', 'host'],
    ['server', 'port'],
    ['endpoints', '*', 'host'],
    ['endpoints', '*', 'port'],
  ],
};

export const OPERATORS: Kind<Operators> = {
  word: 'operators',
  schema: 'operators',
  definition: Operators,
  addresses: [],
};

export const LIMITS: Kind<Limits> = {
  word: 'limits',
  schema: 'limits',
  definition: Limits,
  addresses: [],
};

export const FOLDER_KINDS = [ISSUERS, AGENTS, TASK_TYPES, SCOPES, TARGETS] as const;
export const KINDS = [...FOLDER_KINDS, OPERATORS, LIMITS] as const;

export const OPERATORS_FILE = 'operators.yaml';
export const LIMITS_FILE = 'limits.yaml';
export const POLICIES_FOLDER = 'policies';
export const SCHEMAS_FOLDER = 'schemas';
/** Certificates and key sets that entries refer to; not entries themselves. */
export const FILES_FOLDER = 'files';
