/** Names that differ by more than this share of their length are not taken for typing errors. */
const TOLERANCE = 0.4;

/**
 * The candidate that `word` was most likely meant to be, or undefined where none is near. Names
 * that differ only in case, `-` and `_` are always near; so is a longer name that goes on where this
 * one ends, such as one with its unit.
 */
export function nearMiss(word: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Infinity;
  for (const candidate of candidates) {
    const distance = isSame(word, candidate) ? 0 : editDistance(word, candidate);
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  if (best === undefined) return undefined;
  return bestDistance <= Math.max(word.length, best.length) * TOLERANCE ? best : undefined;
}

/** `Did you mean "x"? ` with a space behind, or nothing. */
export function didYouMean(word: string, candidates: Iterable<string>): string {
  const near = nearMiss(word, candidates);
  return near === undefined ? '' : `Did you mean "${near}"? `;
}

/** At most this many names are listed in a remedy; more would not be read. */
const LISTED_MAX = 12;

/** Candidates as a sentence's list, cut to a readable length. */
export function listed(candidates: Iterable<string>): string {
  const names = [...candidates].sort();
  const shown = names.slice(0, LISTED_MAX).join(', ');
  return names.length > LISTED_MAX ? `${shown}, … (${names.length} in all)` : shown || '(none)';
}

function isSame(word: string, candidate: string): boolean {
  if (plain(word) === plain(candidate)) return true;
  const goesOn = /[-_]/.test(candidate[word.length] ?? '') && word.length >= STEM_MIN;
  return goesOn && plain(candidate).startsWith(plain(word));
}

/** Letters from which on a name is taken for the beginning of a longer one. */
const STEM_MIN = 3;

function plain(word: string): string {
  return word.toLowerCase().replaceAll(/[-_]/g, '');
}

/** Insertions, deletions, replacements and swaps of neighbours (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swapped =
        a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? (before[j - 2] ?? 0) + 1 : Infinity;
      next.push(Math.min(replaced, swapped, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    before = row;
    row = next;
  }
  return row[b.length] ?? 0;
}
