import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { encodeName, namePattern, parseName } from '../../src/target/credential-name.ts';

const VECTOR = {
  installation: 'k7q2',
  leaseId: '0190163d-8694-739b-aea5-966c26f8ad91',
  deadline: new Date('2026-11-22T12:34:56.000Z'),
};

describe('the name of a credential', () => {
  test('is frozen', () => {
    expect(encodeName(VECTOR)).toBe('mk7q2-01j0b3v1mmeedtx9cpdgkfhbch-6b02e170');
    expect(parseName('mk7q2-01j0b3v1mmeedtx9cpdgkfhbch-6b02e170')).toEqual(VECTOR);
  });

  test('is 41 characters, sorts by lease, and reads back', () => {
    const uuid = fc.uuid({ version: 7 });
    fc.assert(
      fc.property(uuid, uuid, fc.integer({ min: 0, max: 0xffff_ffff }), (a, b, seconds) => {
        const deadline = new Date(seconds * 1000);
        const [left, right] = [a, b].map((leaseId) =>
          encodeName({ installation: 'k7q2', leaseId, deadline }),
        ) as [string, string];
        expect(left).toHaveLength(41);
        expect(parseName(left)).toEqual({ installation: 'k7q2', leaseId: a, deadline });
        expect(Math.sign(left < right ? -1 : left > right ? 1 : 0)).toBe(
          Math.sign(a < b ? -1 : a > b ? 1 : 0),
        );
      }),
    );
  });

  test('cuts fractions of the second, never up', () => {
    const late = { ...VECTOR, deadline: new Date('2026-11-22T12:34:56.999Z') };
    expect(encodeName(late)).toBe(encodeName(VECTOR));
  });

  test.each([
    'mk7q2-81j0b3v1mmeedtx9cpdgkfhbch-6b02e170',
    'mk7q2-01j0b3v1mmeedtx9cpdgkfhbci-6b02e170',
    'mk7q2-01j0b3v1mmeedtx9cpdgkfhbch-6B02e170',
    'mk7q2-01j0b3v1mmeedtx9cpdgkfhbch-6b02e170\n',
    ' mk7q2-01j0b3v1mmeedtx9cpdgkfhbch-6b02e170',
    'mk7q-01j0b3v1mmeedtx9cpdgkfhbch-6b02e170',
    'mkuq2-01j0b3v1mmeedtx9cpdgkfhbch-6b02e170',
    'xk7q2-01j0b3v1mmeedtx9cpdgkfhbch-6b02e170',
    'mk7q2-01j0b3v1mmeedtx9cpdgkfhbch-6b02e17',
    '',
  ])('%j is no name', (text) => {
    expect(parseName(text)).toBeUndefined();
  });

  test.each([
    { ...VECTOR, installation: 'K7Q2' },
    { ...VECTOR, leaseId: 'lease' },
    { ...VECTOR, deadline: new Date(0x1_0000_0000 * 1000) },
    { ...VECTOR, deadline: new Date(-1000) },
    { ...VECTOR, deadline: new Date(Number.NaN) },
  ])('%j cannot be encoded', (parts) => {
    expect(() => encodeName(parts)).toThrow(RangeError);
  });

  test('the same rule in SQL spans the whole text and one installation', () => {
    expect(namePattern('k7q2')).toBe('\\Amk7q2-[0-7][0-9a-hjkmnp-tv-z]{25}-[0-9a-f]{8}\\Z');
    expect(() => namePattern("k'; --")).toThrow(RangeError);
  });
});
