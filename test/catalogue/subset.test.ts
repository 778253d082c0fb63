import { describe, expect, test } from '@jest/globals';
import { excess } from '../../src/catalogue/subset.ts';

const WIDE = {
  actions: ['read', 'write'],
  locations: ['https://db.example/orders', 'urn:table:orders'],
  datatypes: ['orders', 'invoices'],
};

describe('what lies within what (invariant I10)', () => {
  test.each([
    ['itself', WIDE],
    [
      'fewer of each',
      { actions: ['read'], locations: ['urn:table:orders'], datatypes: ['orders'] },
    ],
    ['below a location', { ...WIDE, locations: ['https://db.example/orders/2026/11'] }],
    ['the same with a slash', { ...WIDE, locations: ['https://db.example/orders/'] }],
  ])('%s lies within', (_what, inner) => {
    expect(excess(inner, WIDE)).toBeUndefined();
  });

  test.each([
    ['actions', { ...WIDE, actions: ['drop'] }],
    ['actions', { ...WIDE, actions: ['READ'] }],
    ['locations', { ...WIDE, locations: ['https://db.example/orders2'] }],
    ['locations', { ...WIDE, locations: ['https://db.example/'] }],
    ['locations', { ...WIDE, locations: ['http://db.example/orders'] }],
    ['locations', { ...WIDE, locations: ['https://db.example:8443/orders'] }],
    ['locations', { ...WIDE, locations: ['https://db.example/orders/../customers'] }],
    ['locations', { ...WIDE, locations: ['https://db.example/orders/%2e%2e/customers'] }],
    ['locations', { ...WIDE, locations: ['https://db.example/orders/..'] }],
    ['locations', { ...WIDE, locations: ['https://db.example/orders\\..\\x'] }],
    ['locations', { ...WIDE, locations: ['https://db.example@evil.example/orders'] }],
    ['locations', { ...WIDE, locations: ['https://db.example/orders?all=1'] }],
    ['locations', { ...WIDE, locations: ['https://DB.example/orders/2026'] }],
    ['locations', { ...WIDE, locations: ['HTTPS://db.example/orders'] }],
    ['locations', { ...WIDE, locations: ['https://db.example:443/orders'] }],
    ['locations', { ...WIDE, locations: ['urn:table:orders:x'] }],
    ['datatypes', { ...WIDE, datatypes: ['people'] }],
    ['datatypes', { ...WIDE, datatypes: undefined }],
  ])('%s outside are named', (dimension, inner) => {
    expect(excess(inner, WIDE)?.dimension).toBe(dimension);
  });

  test('a location without a path lies within its own origin', () => {
    const origin = { actions: [], locations: ['https://db.example/'] };
    expect(excess({ actions: [], locations: ['https://db.example'] }, origin)).toBeUndefined();
    expect(excess({ actions: [], locations: ['https://db.example/x'] }, origin)).toBeUndefined();
  });

  test('an outer side without data types restricts none', () => {
    expect(excess(WIDE, { ...WIDE, datatypes: undefined })).toBeUndefined();
  });
});
