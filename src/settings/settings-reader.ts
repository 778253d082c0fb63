import { readFileSync, statSync } from 'node:fs';
import { fail, succeed } from '../foundation/result.ts';
import type { Result } from '../foundation/result.ts';
import { valueIn } from './environment.ts';
import type { Environment } from './environment.ts';
import type { Setting, SettingProblem } from './setting.ts';

/** Bytes of a file that holds one secret. */
const SECRET_FILE_MAX = 64 * 1024;

/** Reads settings and notes every problem, so that one start reports them all. */
export type SettingsReader = {
  /** The value, or undefined where it is not set or wrong; a wrong one is a problem. */
  optional<Value>(setting: Setting<Value>): Value | undefined;
  /** The value or the default; without either it is a problem, and what is returned is not used. */
  required<Value>(setting: Setting<Value>): Value;
  /** The members of a family `PREFIX_<NAME>`, by NAME. */
  family<Value>(setting: Setting<Value>): ReadonlyMap<string, Value>;
  isSet(setting: Setting<unknown>): boolean;
  /** Notes what is wrong between settings. */
  note(setting: Setting<unknown>, problem: string): void;
};

type Found<Value> =
  { readonly is: 'set'; readonly value: Value } | { readonly is: 'absent' | 'wrong' };

export const FAMILY_NAME = '<NAME>';
export const NAME_IN_FAMILY = /^[A-Z][A-Z0-9_]{0,62}$/;

export function settingsReader(env: Environment, problems: SettingProblem[]): SettingsReader {
  const note: SettingsReader['note'] = ({ name, remedy }, problem) => {
    problems.push({ name, problem, remedy });
  };

  function read<Value>(setting: Setting<Value>): Found<Value> {
    const text = textOf(setting, env);
    if (text.ok && text.value === undefined) return { is: 'absent' };
    const parsed = text.ok ? setting.parse(text.value ?? '') : text;
    if (parsed.ok) return { is: 'set', value: parsed.value };
    note(setting, parsed.failure);
    return { is: 'wrong' };
  }

  function valueOrDefault<Value>(setting: Setting<Value>): Value | undefined {
    const found = read(setting);
    if (found.is === 'set') return found.value;
    if (found.is === 'wrong') return undefined;
    const fallback = setting.default === undefined ? undefined : setting.parse(setting.default);
    if (fallback?.ok) return fallback.value;
    note(setting, fallback === undefined ? 'is not set' : `${fallback.failure} (the default)`);
    return undefined;
  }

  return {
    note,
    isSet: ({ name }) => valueIn(env, name) !== undefined,
    optional: (setting) => {
      const found = read(setting);
      return found.is === 'set' ? found.value : undefined;
    },
    // Undefined goes with a noted problem, and after a problem nothing that was read is handed out.
    required: <Value>(setting: Setting<Value>) => valueOrDefault(setting) as Value,
    family: (setting) => {
      const names = familyNames(setting, env);
      const members = names.flatMap((name) => {
        const found = read(memberOf(setting, name));
        return found.is === 'set' ? [[name, found.value] as const] : [];
      });
      return new Map(members);
    },
  };
}

function memberOf<Value>(setting: Setting<Value>, name: string): Setting<Value> {
  return { ...setting, name: setting.name.replace(FAMILY_NAME, name) };
}

function familyNames(setting: Setting<unknown>, env: Environment): readonly string[] {
  const prefix = setting.name.replace(FAMILY_NAME, '');
  const names = Object.keys(env)
    .filter((name) => name.startsWith(prefix))
    .map((name) => name.slice(prefix.length))
    .map((name) => (setting.secret ? name.replace(/_FILE$/, '') : name))
    .filter((name) => NAME_IN_FAMILY.test(name));
  return [...new Set(names)].sort();
}

/** The text of a setting; a secret's may lie in a file. */
function textOf(setting: Setting<unknown>, env: Environment): Result<string | undefined, string> {
  const text = valueIn(env, setting.name);
  if (!setting.secret) return succeed(text);
  const file = valueIn(env, `${setting.name}_FILE`);
  if (file === undefined) return succeed(text);
  if (text !== undefined) return fail(`is set twice: also as ${setting.name}_FILE`);
  return secretFile(file);
}

function secretFile(file: string): Result<string, string> {
  try {
    if (statSync(file).size > SECRET_FILE_MAX) return fail('is given by a file that is too large');
    const text = readFileSync(file, 'utf8').replace(/\r?\n$/, '');
    return text === '' ? fail('is given by an empty file') : succeed(text);
  } catch {
    return fail('is given by a file that cannot be read');
  }
}
