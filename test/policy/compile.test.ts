import { describe, expect, test } from '@jest/globals';
import { compilePolicies } from '../../src/policy/compile.ts';
import { unknownNames } from '../../src/policy/known-names.ts';
import { positionOfByte } from '../../src/policy/text-position.ts';

function problemsOf(...texts: string[]) {
  const compiled = compilePolicies(texts.map((text, index) => ({ file: `${index}.cedar`, text })));
  return compiled.ok ? [] : compiled.problems;
}

describe('compiling', () => {
  test('reports the faults of all files', () => {
    const found = problemsOf(
      'permit (principal, action, resource);',
      '@id("b") permit (principal, action, resource) when { context.tl > 1 };',
      '@id("c") permit (',
    );
    expect(found.map(({ file, line, column, field }) => [file, line, column, field])).toEqual([
      ['0.cedar', 1, 1, '@id'],
      ['1.cedar', 1, 54, 'b'],
      ['2.cedar', 1, 18, '(syntax)'],
    ]);
  });

  test('counts columns in characters, though Cedar counts bytes', () => {
    const text =
      '// größer ✓\n@id("a") permit (principal, action, resource)\nwhen { "ü€😀" == context.tl };';
    expect(problemsOf(text)).toMatchObject([{ line: 3, column: 17, field: 'a' }]);
  });

  test.each([
    ['an empty file', '', '(syntax)'],
    ['only a comment', '// nothing', '(syntax)'],
    ['an id with a capital', '@id("A") permit (principal, action, resource);', '@id'],
    ['an id without a value', '@id permit (principal, action, resource);', '@id'],
    ['an id twice', '@id("a") @id("b") permit (principal, action, resource);', '(syntax)'],
    ['an unknown action', '@id("a") permit (principal, action == Action::"mint", resource);', 'a'],
    ['an unknown entity', '@id("a") permit (principal is User, action, resource);', 'a'],
    [
      'a tag that may be absent',
      '@id("a") permit (principal, action, resource) when { context.claims.getTag("x") == "y" };',
      'a',
    ],
    [
      'an optional attribute unguarded',
      '@id("a") permit (principal, action, resource) when { context.workflow == "y" };',
      'a',
    ],
  ])('refuses %s', (_what, text, field) => {
    expect(problemsOf(text)).toMatchObject([{ field }]);
  });
});

test('comments and strings are not references', () => {
  const known = { Agent: new Set(['a']) };
  const policy = (text: string) => ({ id: 'p', file: 'p.cedar', text, effect: 'permit' as const });
  const text =
    '// Agent::"gone"\npermit (principal == Agent::"a", action, resource) when { "Agent::\\"x\\"" == "" };';
  expect(unknownNames(policy(text), known)).toEqual([]);
  expect(
    unknownNames(policy('// "\npermit (principal == Agent :: "b", action, resource);'), known),
  ).toMatchObject([
    { line: 2, column: 22, problem: 'Agent::"b" is declared nowhere in the catalogue' },
  ]);
});

test('a place in bytes becomes a line and a column', () => {
  expect(positionOfByte('aä\nb', 0)).toEqual({ line: 1, column: 1 });
  expect(positionOfByte('aä\nb', 3)).toEqual({ line: 1, column: 3 });
  expect(positionOfByte('aä\nb', 4)).toEqual({ line: 2, column: 1 });
});
