import { fail, succeed } from '../../foundation/result.ts';
import type { Result } from '../../foundation/result.ts';
import { recordIn, isRecord } from './administrator.ts';
import type { Administrator, ProvisionProblem } from './administrator.ts';
import type { BackendDesign } from './backend-design.ts';
import { driftOf } from './compare.ts';
import type { Drift } from './compare.ts';
import { isUnrotated } from './connection-url.ts';
import type { Piece } from './piece.ts';
import { mountDescription, piecesOf } from './pieces.ts';

/** What `apply` would do, or did, with one piece. `refused`: it belongs to somebody else. */
export type PlannedAction = 'create' | 'change' | 'unchanged' | 'refused';

export type PlannedStep = {
  readonly piece: Piece;
  readonly action: PlannedAction;
  /** Fields that differ; empty unless `action` is `change` or `refused`. */
  readonly drift: readonly Drift[];
  /** OpenBao still uses the root password that an administrator gave, or soon will. */
  readonly rotates: boolean;
};

export type BackendPlan = { readonly steps: readonly PlannedStep[] };

/** Reads everything that the design names and compares. Changes nothing. */
export async function planBackend(
  admin: Administrator,
  design: BackendDesign,
): Promise<Result<BackendPlan, ProvisionProblem>> {
  const owned = await ownedMounts(admin, design.installation);
  if (!owned.ok) return owned;
  const steps: PlannedStep[] = [];
  for (const piece of piecesOf(design, owned.value)) {
    const step = await planPiece(admin, piece, owned.value);
    if (!step.ok) return step;
    steps.push(step.value);
  }
  return succeed({ steps });
}

async function planPiece(
  admin: Administrator,
  piece: Piece,
  ownedMounts: readonly string[],
): Promise<Result<PlannedStep, ProvisionProblem>> {
  // Below a mount that is not there yet OpenBao answers in other ways than 404.
  const below = piece.kind === 'database_config' || piece.kind === 'database_role';
  const mounted = ownedMounts.some((mount) => piece.path.startsWith(`${mount}/`));
  const seen = below && !mounted ? succeed(null) : await readPiece(admin, piece);
  if (!seen.ok) return seen;
  const isConfig = piece.kind === 'database_config';
  if (seen.value === null) {
    return succeed({ piece, action: 'create', drift: [], rotates: isConfig });
  }
  const drift = driftOf(piece, seen.value);
  const fixed = drift.filter(({ field }) => piece.fixed?.includes(field) === true);
  if (fixed.length > 0) return succeed({ piece, action: 'refused', drift: fixed, rotates: false });
  const rotates = isConfig && isUnrotated(connectionUrlIn(seen.value));
  const action = drift.length > 0 ? 'change' : 'unchanged';
  return succeed({ piece, action, drift, rotates });
}

/** What OpenBao holds of a piece; null when it holds nothing. */
async function readPiece(
  admin: Administrator,
  piece: Piece,
): Promise<Result<Readonly<Record<string, unknown>> | null, ProvisionProblem>> {
  if (piece.listedAt === undefined) return recordIn(piece.path, await admin.read(piece.path));
  const { path, key } = piece.listedAt;
  const all = recordIn(path, await admin.read(path));
  if (!all.ok) return all;
  const entry = all.value?.[key];
  return succeed(isRecord(entry) ? entry : null);
}

/** Mounts that bear this installation's mark, also those that the catalogue has left. */
async function ownedMounts(
  admin: Administrator,
  installation: string,
): Promise<Result<readonly string[], ProvisionProblem>> {
  const all = recordIn('sys/mounts', await admin.read('sys/mounts'));
  if (!all.ok) return all;
  if (all.value === null) return fail({ at: 'sys/mounts', message: 'there is no such list' });
  const mark = mountDescription(installation);
  return succeed(
    Object.entries(all.value).flatMap(([key, mount]) =>
      isRecord(mount) && mount['description'] === mark ? [key.replace(/\/$/, '')] : [],
    ),
  );
}

function connectionUrlIn(data: Readonly<Record<string, unknown>>): unknown {
  const details = data['connection_details'];
  return isRecord(details) ? details['connection_url'] : undefined;
}
