import { describe, expect, test } from '@jest/globals';
import { faultOf } from '../../src/foundation/fault.ts';

describe('what is told of an unexpected error', () => {
  test('is its kind, its code and its place, and no word of its message', () => {
    const error = Object.assign(new RangeError('postgresql://m:canary@db'), { code: 'ECONNRESET' });
    const fault = faultOf(error);
    expect(fault).toMatchObject({ kind: 'RangeError', code: 'ECONNRESET' });
    expect(fault.at[0]).toMatch(/^at .*fault\.test\.ts/);
    expect(JSON.stringify(fault)).not.toContain('canary');
  });

  test('is not fooled by a message that looks like a frame, or by a name that is a message', () => {
    const framed = new Error('first\n    at canary (somewhere)');
    expect(JSON.stringify(faultOf(framed))).not.toContain('canary');
    const named = Object.assign(new Error('x'), { name: 'token is canary', code: 'canary text' });
    expect(JSON.stringify(faultOf(named))).not.toContain('canary');
    const changed = new Error('first\n    at canary (somewhere)');
    expect(changed.stack).toContain('canary');
    changed.message = 'changed later';
    expect(JSON.stringify(faultOf(changed))).not.toContain('canary');
  });

  test.each([['canary'], [undefined], [null], [{ password: 'canary' }]])(
    'is only its type for what is no error: %j',
    (thrown) => {
      expect(faultOf(thrown)).toEqual({ kind: typeof thrown, at: [] });
    },
  );
});
