import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { settingsPage } from './support/settings-page.ts';

test('docs/settings.md says what the table says', () => {
  const page = readFileSync(new URL('../../docs/settings.md', import.meta.url), 'utf8');
  const listed = page.slice(page.indexOf('## '));
  expect(tidy(listed)).toEqual(tidy(settingsPage()));
});

/** Cells as words: how wide a table is drawn is the formatter's business. */
function tidy(page: string): string[] {
  return page
    .split('\n')
    .map((line) => line.replaceAll(/\s+/g, ' ').replaceAll(/-{3,}/g, '---').trim())
    .filter((line) => line !== '');
}
