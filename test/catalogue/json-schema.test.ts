import { readdir, readFile } from 'node:fs/promises';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { schemaFiles } from '../../src/catalogue/json-schema.ts';
import { SOUND } from './edited-catalogue.ts';

describe('the JSON Schemas for editors', () => {
  test.each(schemaFiles())('$name is current', async ({ name, text }) => {
    // After a change of a definition: mayfly check --write-schemas
    expect(await readFile(join(SOUND, name), 'utf8')).toBe(text);
  });

  test('are named in each file of the catalogue', async () => {
    const entries = await readdir(SOUND, { recursive: true });
    const names = entries.filter((name) => name.endsWith('.yaml'));
    const known = schemaFiles().map((schema) => schema.name);
    const named = await Promise.all(names.map(schemaOf));
    expect(names.length).toBeGreaterThan(10);
    expect(named.filter((schema) => !known.includes(schema))).toEqual([]);
  });

  test('describe fields and refuse unknown ones', () => {
    const agent = schemaFiles().find(({ name }) => name.endsWith('/agent.json'));
    expect(JSON.parse(agent?.text ?? '')).toMatchObject({
      additionalProperties: false,
      properties: { owner: { description: 'The accountable person or team.' } },
    });
  });
});

async function schemaOf(name: string): Promise<string> {
  const text = await readFile(join(SOUND, name), 'utf8');
  const [, relative] = /^# yaml-language-server: \$schema=(\S+)\n/.exec(text) ?? [];
  return normalize(join(dirname(name), relative ?? 'none'));
}
