import { expect, test } from '@jest/globals';
import { parseSpiffeId } from '../../src/identity/token/spiffe-id.ts';

test.each([
  '',
  'spiffe://',
  'SPIFFE://td/a',
  'http://td/a',
  'spiffe://TD/a',
  'spiffe://td:8080/a',
  'spiffe://user@td/a',
  'spiffe://td/',
  'spiffe://td//a',
  'spiffe://td/a/',
  'spiffe://td/./a',
  'spiffe://td/a/..',
  'spiffe://td/%61',
  'spiffe://td/a?x=1',
  'spiffe://td/a#f',
  'spiffe://td/a b',
  'spiffe://td/a\n',
  `spiffe://${'t'.repeat(256)}/a`,
  `spiffe://td/${'a'.repeat(2049 - 'spiffe://td/'.length)}`,
])('%p is no SPIFFE ID', (text) => {
  expect(parseSpiffeId(text)).toBeUndefined();
});

test('ids of a trust domain and of a workload are read', () => {
  expect(parseSpiffeId('spiffe://td')).toEqual({ trustDomain: 'td', path: '' });
  expect(parseSpiffeId('spiffe://td.example-1_2/a/.../.hidden/B_c-9')).toEqual({
    trustDomain: 'td.example-1_2',
    path: '/a/.../.hidden/B_c-9',
  });
  expect(parseSpiffeId(`spiffe://td/${'a'.repeat(2048 - 'spiffe://td/'.length)}`)).toBeDefined();
});
