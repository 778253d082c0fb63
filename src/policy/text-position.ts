/** Line and column (from 1, in characters) of a place that is given in UTF-8 bytes. */
export function positionOfByte(text: string, byte: number): { line: number; column: number } {
  const before = Buffer.from(text, 'utf8').subarray(0, byte).toString('utf8');
  return positionOfIndex(before, before.length);
}

/** Line and column (from 1, in characters) of a place that is given as a string index. */
export function positionOfIndex(text: string, index: number): { line: number; column: number } {
  const lines = text.slice(0, index).split('\n');
  return { line: lines.length, column: [...(lines.at(-1) ?? '')].length + 1 };
}
