import { createHash } from 'node:crypto';
import type { CatalogueFile } from './files.ts';

/**
 * SHA-256 (hex) over the names and contents of all files, in the order of their names. Lengths go
 * before texts, so that moving a character from one file to the next changes the hash. Settings
 * that the files refer to are not part of it: replicas of one installation may have other addresses.
 */
export function catalogueHash(files: readonly CatalogueFile[]): string {
  const hash = createHash('sha256');
  for (const { name, text } of [...files].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    for (const part of [name, text]) {
      const bytes = Buffer.from(part, 'utf8');
      const length = Buffer.alloc(8);
      length.writeBigUInt64BE(BigInt(bytes.length));
      hash.update(length).update(bytes);
    }
  }
  return hash.digest('hex');
}
