import { isInstallation } from '../credential-name.ts';

/** The schema of one installation at a target. */
export function schemaOf(installation: string): string {
  if (!isInstallation(installation)) throw new RangeError('not an installation id');
  return `mayfly_${installation}`;
}

/** The superuser role without login that owns the schema where an administrator allows one. */
export function ownerRoleOf(installation: string): string {
  return `${schemaOf(installation)}_owner`;
}
