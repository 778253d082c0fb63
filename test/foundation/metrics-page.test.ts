import { readdir, readFile } from 'node:fs/promises';
import { describe, expect, test } from '@jest/globals';
import { createMetrics } from '../../src/foundation/metrics.ts';

type Row = { name: string; kind: string; labels: string[]; meaning: string; setBy: string };

const read = (path: string) => readFile(new URL(`../../${path}`, import.meta.url), 'utf8');

async function rows(): Promise<Row[]> {
  const page = await read('docs/metrics.md');
  return page
    .split('\n')
    .filter((line) => line.startsWith('| `mayfly_'))
    .map((line) => {
      const [, name = '', kind = '', labels = '', meaning = '', setBy = ''] = line
        .split('|')
        .map((cell) => cell.trim());
      return { name: name.replaceAll('`', ''), kind, labels: quoted(labels, '`'), meaning, setBy };
    });
}

/** What stands between these marks. */
function quoted(text: string, mark: string): string[] {
  return [...text.matchAll(new RegExp(`${mark}(\\w+)${mark}`, 'g'))].map(([, word = '']) => word);
}

/** Name and kind of all of Mayfly's own, as a broker shows them before anything has happened. */
async function shown(): Promise<[string, string][]> {
  const { body } = await createMetrics().render();
  return [...body.matchAll(/^# TYPE (mayfly_\w+) (\w+)$/gm)].map(([, name = '', kind = '']) => [
    name,
    kind,
  ]);
}

/** Labels do not show before anything was counted: from the code. */
async function labelsInCode(): Promise<Map<string, string[]>> {
  const source = await read('src/foundation/metrics.ts');
  const call =
    /\b(?:counter|gauge|histogram)\(\s*registry,\s*'(\w+)',\s*(?:'[^']*'|"[^"]*"),?\s*(\[[^\]]*\])?/g;
  return new Map(
    [...source.matchAll(call)].map(([, name = '', labels = '']) => [
      `mayfly_${name}`,
      quoted(labels, "'"),
    ]),
  );
}

describe('docs/metrics.md', () => {
  test('lists every metric once, with its kind', async () => {
    const listed = (await rows()).map(({ name, kind }): [string, string] => [name, kind]);
    expect(listed.length).toBeGreaterThan(25);
    expect(listed.sort()).toEqual((await shown()).sort());
  });

  test('says which labels each has', async () => {
    const inCode = await labelsInCode();
    expect(inCode.size).toBeGreaterThan(25);
    for (const { name, labels } of await rows()) {
      expect([name, labels]).toEqual([name, inCode.get(name) ?? []]);
    }
  });

  test('says what each means, and which replica sets it', async () => {
    for (const { name, meaning, setBy } of await rows()) {
      expect([name, meaning.length > 15]).toEqual([name, true]);
      expect(['actor', 'sweeping', 'each']).toContain(setBy);
    }
  });

  test('has every metric that another page names', async () => {
    const known = (await rows()).map(({ name }) => name);
    const folder = new URL('../../docs/', import.meta.url);
    const pages = (await readdir(folder)).filter((file) => file.endsWith('.md'));
    for (const page of pages) {
      // With one underscore alone it may be a role, such as that of a guard.
      const named = [...(await read(`docs/${page}`)).matchAll(/`(mayfly_[a-z]+_[a-z_]*[a-z])\b/g)];
      const unknown = named.map(([, name = '']) => name).filter((name) => !known.includes(name));
      expect([page, unknown]).toEqual([page, []]);
    }
  });
});
