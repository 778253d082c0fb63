import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { TOKEN_LENGTH_MAX, parseCompactToken } from '../../src/identity/token/compact-token.ts';
import { parseStrictObject } from '../../src/foundation/strict-json.ts';
import { encode } from './support/tokens.ts';

function reasonOf(text: string): string | undefined {
  const parsed = parseCompactToken(text);
  return parsed.ok ? undefined : parsed.failure.reason;
}

const H = encode({ alg: 'ES256' });
const C = encode({ sub: 'a' });

describe('the compact form', () => {
  test('three base64url parts are taken apart', () => {
    expect(parseCompactToken(`${H}.${C}.AAAA`)).toEqual({
      ok: true,
      value: { header: { alg: 'ES256' }, claims: { sub: 'a' } },
    });
  });

  test.each([
    ['nothing', ''],
    ['one part', 'abc'],
    ['two parts', `${H}.${C}`],
    ['four parts', `${H}.${C}.AAAA.AAAA`],
    ['an encrypted token', `${H}.a.b.c.d`],
    ['padding', `${H}=.${C}.AAAA`],
    ['a line break', `${H}.${C}\n.AAAA`],
    ['a blank at the end', `${H}.${C}.AAAA `],
    ['plain base64', `${H}.${C}.AA+/`],
    ['a letter beyond ASCII', `${H}.${C}.AAAÄ`],
    ['braces', `{"alg":"none"}.${C}.AAAA`],
    ['spare bits in the last character', `${H}.${C}.AB`],
    ['a header that is no object', `${encode('[]')}.${C}.AAAA`],
    ['a header that is no JSON', `${encode('{alg}')}.${C}.AAAA`],
    ['claims that are no JSON', `${H}.${encode('sub=a')}.AAAA`],
    ['claims that are null', `${H}.${encode('null')}.AAAA`],
    [
      'claims that are not UTF-8',
      `${H}.${Buffer.from('{"sub":"\xff"}', 'latin1').toString('base64url')}.AAAA`,
    ],
    ['a repeated header member', `${encode('{"alg":"ES256","alg":"none"}')}.${C}.AAAA`],
    ['a repeated claim', `${H}.${encode('{"sub":"a","sub":"b"}')}.AAAA`],
  ])('%s is refused', (_what, text) => {
    expect(reasonOf(text)).toBe('subject_token_malformed');
  });

  test('the length bound is exact, and is checked before anything else', () => {
    const fixed = `${H}.${C}.`.length;
    const longest = `${H}.${C}.${'A'.repeat(TOKEN_LENGTH_MAX - fixed)}`;
    expect(longest).toHaveLength(16_384);
    expect(reasonOf(longest)).toBeUndefined();
    expect(reasonOf(`${longest}A`)).toBe('subject_token_too_large');
    expect(reasonOf('x'.repeat(1_000_000))).toBe('subject_token_too_large');
  });

  test('a failure repeats nothing of the token', () => {
    const parsed = parseCompactToken(`${encode('{"secret-header":1')}.${C}.AAAA`);
    expect(JSON.stringify(parsed)).not.toContain('secret-header');
  });
});

describe('JSON without repeated members', () => {
  const parse = (text: string) => parseStrictObject(Buffer.from(text));

  test.each([
    '{"a":1,"a":1}',
    '{"a":1,"\\u0061":2}',
    '{"x":{"a":1,"b":[{"c":1,"c":2}]}}',
    '{"a":"}","a":1}',
    '{"a":"\\\\","a":1}',
    '{"__proto__":1,"__proto__":2}',
    '{"a":[],"a":1}',
    '{"a":{},"b":"x","a":1}',
  ])('%s is refused', (text) => {
    expect(parse(text)).toBeUndefined();
  });

  test.each([
    '{}',
    '{"a":{"a":{"a":1}},"b":["a","a"]}',
    '{"a":"\\"a\\":1,\\"a\\"","b":2}',
    '{"a":[{"x":1},{"x":2}],"A":1}',
    ' {"a":[1,2,[3,"a"],{}],"b":"a"} ',
  ])('%s is read', (text) => {
    expect(parse(text)).toEqual(JSON.parse(text));
  });

  test('whatever JSON.stringify writes is read as it was', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (value) => {
        const text = JSON.stringify(value);
        expect(parse(text)).toEqual(JSON.parse(text));
      }),
    );
  });

  test('an object that names any member twice is refused, however deep it lies', () => {
    fc.assert(
      fc.property(fc.string(), fc.jsonValue(), fc.nat(5), (name, value, depth) => {
        const member = `${JSON.stringify(name)}:${JSON.stringify(value)}`;
        const twice = `{${member},"${'z'.repeat(40)}":[1],${member}}`;
        expect(parse(`{"a":${'['.repeat(depth)}${twice}${']'.repeat(depth)}}`)).toBeUndefined();
      }),
    );
  });

  test('deep nesting neither overflows nor takes long', () => {
    expect(parse(`{"a":${'['.repeat(6000)}${']'.repeat(6000)}}`)).toBeDefined();
    expect(parse(`{"a":${'['.repeat(12_000)}`)).toBeUndefined();
  });
});
