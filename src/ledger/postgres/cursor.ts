import { isUuid } from '../../foundation/ids.ts';
import { CursorInvalid } from '../ledger.ts';

/** Lists run from the newest id to the oldest; a cursor is the id of the last item shown. */
export function encodeCursor(id: string): string {
  return Buffer.from(id.replaceAll('-', ''), 'hex').toString('base64url');
}

/** @throws CursorInvalid for what `encodeCursor` did not make. */
export function decodeCursor(cursor: string): string {
  const hex = Buffer.from(cursor, 'base64url').toString('hex');
  const id = hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  if (isUuid(id) && encodeCursor(id) === cursor) return id;
  throw new CursorInvalid('The cursor is not one of ours. Begin again without it.');
}
