import { access, constants } from 'node:fs/promises';
import { isAbsolute, resolve } from 'node:path';
import type { CatalogueProblem } from './catalogue.ts';
import { complain } from './declared.ts';
import type { Declared } from './declared.ts';
import type { Declarations } from './declarations.ts';
import type { Issuer } from './issuer.ts';
import type { FieldPath } from './problem.ts';
import type { Target } from './target.ts';

/**
 * Relative paths that lead nowhere. Absolute ones belong to the machine that will run the broker,
 * which need not be the one that checks.
 */
export async function missingFiles(
  all: Declarations,
  folder: string,
): Promise<readonly CatalogueProblem[]> {
  const named = [
    ...[...all.issuers.entries.values()].flatMap(issuerFiles),
    ...[...all.targets.entries.values()].flatMap(targetFiles),
  ];
  const found = await Promise.all(named.map((one) => missing(one, folder)));
  return found.flat();
}

type Named = {
  readonly entry: Declared<unknown>;
  readonly path: FieldPath;
  readonly file: string;
};

function issuerFiles(entry: Declared<Issuer>): Named[] {
  const { keys, ca_file } = entry.value;
  const named: Named[] = [];
  if (ca_file !== undefined) named.push({ entry, path: ['ca_file'], file: ca_file });
  if ('jwks_file' in keys) named.push({ entry, path: ['keys', 'jwks_file'], file: keys.jwks_file });
  if ('bundle_file' in keys) {
    named.push({ entry, path: ['keys', 'bundle_file'], file: keys.bundle_file });
  }
  return named;
}

function targetFiles(entry: Declared<Target>): Named[] {
  const { ca_file } = entry.value;
  return ca_file === undefined ? [] : [{ entry, path: ['ca_file'], file: ca_file }];
}

async function missing({ entry, path, file }: Named, folder: string): Promise<CatalogueProblem[]> {
  if (isAbsolute(file)) return [];
  const readable = await access(resolve(folder, file), constants.R_OK).then(
    () => true,
    () => false,
  );
  if (readable) return [];
  const remedy = 'Put the file there; relative paths begin at the catalogue folder.';
  return [complain(entry, path, `names the file "${file}", which cannot be read`, remedy)];
}

/** The same issuer with absolute paths. */
export function withAbsoluteFiles(issuer: Issuer, folder: string): Issuer {
  const ca = absoluteCa(issuer.ca_file, folder);
  if (issuer.kind === 'oidc') {
    if (!('jwks_file' in issuer.keys)) return { ...issuer, ...ca };
    return { ...issuer, ...ca, keys: { jwks_file: resolve(folder, issuer.keys.jwks_file) } };
  }
  if (!('bundle_file' in issuer.keys)) return { ...issuer, ...ca };
  return { ...issuer, ...ca, keys: { bundle_file: resolve(folder, issuer.keys.bundle_file) } };
}

/** The same target with absolute paths. */
export function withAbsoluteCa(target: Target, folder: string): Target {
  return { ...target, ...absoluteCa(target.ca_file, folder) };
}

function absoluteCa(file: string | undefined, folder: string): { ca_file?: string } {
  return file === undefined ? {} : { ca_file: resolve(folder, file) };
}
