import { readFile } from 'node:fs/promises';
import { describe, expect, test } from '@jest/globals';
import { REQUEST_BOUNDS, SERVER_BOUNDS } from '../../src/http/server-bounds.ts';

type Row = { bound: number; file: string; name: string };

const read = (path: string) => readFile(new URL(`../../${path}`, import.meta.url), 'utf8');

async function rows(): Promise<Row[]> {
  const page = await read('docs/limits.md');
  return page.split('\n').flatMap((line) => {
    const [, , bound = '', , place = ''] = line.split('|').map((cell) => cell.trim());
    const found = /^`(\S+)` (\w+)$/.exec(place);
    return found ? [{ bound: Number(bound), file: found[1] ?? '', name: found[2] ?? '' }] : [];
  });
}

/** The number that follows the name: a constant, a member, or the default of a schema. */
function stated(source: string, name: string): number | undefined {
  const schema = new RegExp(`\\b${name}: (?:Seconds|z)\\b[^;]*?\\.default\\(([\\d_]+)\\)`).exec(
    source,
  );
  const plain = new RegExp(`\\b${name}(?: =|:) ([\\d_ *]+)[;,]`).exec(source);
  const text = (schema ?? plain)?.[1]?.replaceAll('_', '');
  return text?.split('*').reduce((product, factor) => product * Number(factor), 1);
}

describe('docs/limits.md', () => {
  test('states what the code states, at the place that it names', async () => {
    const listed = await rows();
    expect(listed.length).toBeGreaterThan(40);
    const found = await Promise.all(
      listed.map(async ({ file, name }) => ({ file, name, bound: stated(await read(file), name) })),
    );
    expect(found).toEqual(listed.map(({ file, name, bound }) => ({ file, name, bound })));
  });

  test('lists every bound of a request and a connection that a caller can meet', async () => {
    const listed = new Set((await rows()).map(({ name }) => name));
    const quiet = ['timeoutCheckMs', 'readinessMs', 'cursorCharacters', 'requestIdCharacters'];
    const all = [...Object.keys(SERVER_BOUNDS), ...Object.keys(REQUEST_BOUNDS)];
    expect(all.filter((name) => !listed.has(name) && !quiet.includes(name))).toEqual([]);
  });
});
