import { describe, expect, test } from '@jest/globals';
import { refreshNeed, stillTrusted } from '../../src/identity/keys/refresh-rules.ts';
import type { KeySetAge } from '../../src/identity/keys/refresh-rules.ts';

const times = { maxAgeMs: 100, staleMs: 1000, coolDownMs: 20, retryMs: 5, missMs: 50 };

function need(changes: Partial<KeySetAge>): string {
  return refreshNeed(
    {
      nowMs: 0,
      loadedAtMs: 0,
      attemptEndedAtMs: 0,
      attemptFailed: false,
      kidKnown: true,
      missedAtMs: undefined,
      ...changes,
    },
    times,
  );
}

describe('reading keys again', () => {
  test('the first token waits for the first reading', () => {
    expect(need({ loadedAtMs: undefined, attemptEndedAtMs: undefined, kidKnown: false })).toBe(
      'wait',
    );
  });

  test.each([
    [0, 'none'],
    [79, 'none'],
    [80, 'background'],
    [99, 'background'],
    [100, 'wait'],
    [5000, 'wait'],
  ])('a known key %d ms after the reading: %s', (nowMs, expected) => {
    expect(need({ nowMs })).toBe(expected);
  });

  test.each([
    [19, undefined, 'none'],
    [20, undefined, 'wait'],
    [60, 20, 'none'],
    [69, 20, 'none'],
    [70, 20, 'wait'],
  ])('an unknown key at %d ms, missed at %p: %s', (nowMs, missedAtMs, expected) => {
    expect(need({ nowMs, missedAtMs, kidKnown: false })).toBe(expected);
  });

  test('after a failure nothing is read for the pause, whatever asks for it', () => {
    const failed = { attemptFailed: true, attemptEndedAtMs: 200 };
    expect(need({ ...failed, nowMs: 204 })).toBe('none');
    expect(need({ ...failed, nowMs: 204, kidKnown: false })).toBe('none');
    expect(need({ ...failed, nowMs: 204, loadedAtMs: undefined })).toBe('none');
    expect(need({ ...failed, nowMs: 205, kidKnown: false })).toBe('wait');
  });

  test.each([
    ['a failure just now', { nowMs: 205, attemptEndedAtMs: 200 }, 'background'],
    ['a failure of not so long ago', { nowMs: 299, attemptEndedAtMs: 200 }, 'background'],
    ['a failure that says nothing of now', { nowMs: 300, attemptEndedAtMs: 200 }, 'wait'],
    ['the last moment of trust', { nowMs: 999, attemptEndedAtMs: 990 }, 'background'],
    ['keys that are not trusted', { nowMs: 1000, attemptEndedAtMs: 990 }, 'wait'],
    ['no keys', { nowMs: 205, attemptEndedAtMs: 200, loadedAtMs: undefined }, 'wait'],
  ])('after %s a known key that is too old: %s', (_what, changes, expected) => {
    expect(need({ ...changes, attemptFailed: true })).toBe(expected);
  });

  test('old keys are trusted up to the bound and not beyond', () => {
    const age = {
      loadedAtMs: 0,
      attemptEndedAtMs: 0,
      attemptFailed: true,
      kidKnown: true,
      missedAtMs: undefined,
    };
    expect(stillTrusted({ ...age, nowMs: 999 }, times)).toBe(true);
    expect(stillTrusted({ ...age, nowMs: 1000 }, times)).toBe(false);
    expect(stillTrusted({ ...age, nowMs: 0, loadedAtMs: undefined }, times)).toBe(false);
  });
});
