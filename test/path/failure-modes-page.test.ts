import { readFile } from 'node:fs/promises';
import { expect, test } from '@jest/globals';

type Row = { readonly number: string; readonly cells: readonly string[] };

const read = (path: string) => readFile(new URL(`../../${path}`, import.meta.url), 'utf8');

async function rows(): Promise<readonly Row[]> {
  const page = await read('docs/failure-modes.md');
  return page.split('\n').flatMap((line) => {
    const [, number = '', ...cells] = line.split('|').map((cell) => cell.trim());
    return /^(F-[A-Z]+-\d+|\d+)$/.test(number) ? [{ number, cells: cells.slice(0, -1) }] : [];
  });
}

/** `a`1 to `a`n, without a gap. */
function numbered(prefix: string, count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${index + 1}`);
}

test('docs/failure-modes.md has each failure mode and each fault once', async () => {
  expect((await rows()).map(({ number }) => number)).toEqual([
    ...numbered('F-MINT-', 5),
    ...numbered('F-REV-', 18),
    ...numbered('F-QUA-', 4),
    ...numbered('', 20),
  ]);
});

test('docs/failure-modes.md says of each what happens, what is seen, how long, and which test', async () => {
  for (const { number, cells } of await rows()) {
    const [wrong = '', happens = '', seen = '', lasts = '', tests = ''] = cells;
    expect([number, [wrong, happens, seen, lasts].every((cell) => cell !== '')]).toEqual([
      number,
      true,
    ]);
    const cannotOccur = happens.startsWith('Cannot occur: ');
    expect([number, tests === 'none' ? cannotOccur : tests.includes('`test/')]).toEqual([
      number,
      true,
    ]);
  }
});

test('docs/failure-modes.md names tests that exist', async () => {
  for (const { number, cells } of await rows()) {
    for (const [, file = '', title = ''] of (cells[4] ?? '').matchAll(
      /`(test\/[^`]+)`: "([^"]+)"/g,
    )) {
      const source = await read(file).catch(() => 'there is no such file');
      expect([number, file, title, source.includes(title)]).toEqual([number, file, title, true]);
    }
  }
});
