import type { Json } from '../../foundation/canonical-json.ts';

/** Fields of one thing in OpenBao, as OpenBao reads them back. */
export type Fields = Readonly<Record<string, Json>>;

/** What a piece is; also the `check` of doctor's findings about it. */
export type PieceKind =
  | 'auth_method'
  | 'mount'
  | 'mark_mount'
  | 'database_config'
  | 'database_role'
  | 'scope_policy'
  | 'token_role'
  | 'identity_policy'
  | 'approle';

/** One thing that OpenBao must hold, and how it is read, made and changed. */
export type Piece = {
  readonly kind: PieceKind;
  /** Its path, which is its name. */
  readonly path: string;
  /** Fields that must have these values; all others are left alone. */
  readonly wanted: Fields;
  /** Where it stands among others of its kind, for things that have no path to be read at. */
  readonly listedAt?: { readonly path: string; readonly key: string };
  /** Fields as `wanted` names them, out of what was read. */
  readonly flatten?: (data: Readonly<Record<string, unknown>>) => Readonly<Record<string, unknown>>;
  /** Body of the call that makes it; default: `wanted`. */
  readonly makeBody?: object;
  /** Where and with what it is changed; default: `path` and `wanted`. */
  readonly changeAt?: { readonly path: string; readonly body: object };
  /** Fields that Mayfly does not change in something that is there: it belongs to somebody else. */
  readonly fixed?: readonly string[];
};
