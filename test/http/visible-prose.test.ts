import { describe, expect, test } from '@jest/globals';
import { VisibleProse } from '../../src/http/visible-prose.ts';

const accepts = (text: string) => VisibleProse.safeParse(text).success;
const named = (point: number) => `U+${point.toString(16).toUpperCase().padStart(4, '0')}`;

describe('prose that is recorded', () => {
  test.each([
    'the pod was broken into',
    'über 100 %, siehe INC-17',
    'テーブルを復元中',
    'عطل في الخادم',
    'कारण: परीक्षण',
    '!',
    '🔥 fire',
    'e\u0301',
    'a\u00a0b',
  ])('%j is taken', (text) => {
    expect(accepts(text)).toBe(true);
  });

  test.each(['', ' ', '   ', '\u00a0', '\u2003', '\u3000', '\u2800', '\u2800 \u2800', '\u{1d159}'])(
    '%j is refused: there is nothing to see',
    (text) => {
      expect(accepts(text)).toBe(false);
    },
  );

  test.each(
    [
      ...[0x00, 0x0a, 0x7f, 0x85, 0xad, 0x034f, 0x061c, 0x115f, 0x1160, 0x17b4, 0x180b, 0x200b],
      ...[0x200d, 0x2028, 0x2029, 0x202e, 0x2060, 0x2066, 0x3164, 0xd800, 0xe000, 0xfdd0, 0xfe0f],
      ...[0xfeff, 0xffa0, 0xffff, 0x378, 0xe0041, 0xe0100, 0xf0000, 0x10fffd],
    ].map((point) => [named(point), String.fromCodePoint(point)]),
  )('%s is refused, alone and between letters', (_name, character) => {
    expect(accepts(character)).toBe(false);
    expect(accepts(`a${character}b`)).toBe(false);
  });
});
