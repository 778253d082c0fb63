import { resolve } from 'node:path';
import ts from 'typescript';
import { isLedgerRead, stepName, useCaseName } from '../../../src/compose-fail-points.ts';

type Port = Parameters<typeof stepName>[0];

/** Where the ports' types stand, by the name of the type. */
const PORTS: Readonly<Record<string, Readonly<Record<string, Port>>>> = {
  'src/ledger/ledger.ts': { Ledger: 'ledger' },
  'src/mint/backend.ts': { Minter: 'minter', Reaper: 'reaper' },
  'src/target/target-access.ts': { Guard: 'guard', Prover: 'prover' },
};

/** Driven by clock and signals: nobody waits for their answers. */
const NOT_ASKED: ReadonlySet<string> = new Set(['sweep', 'stop']);

/** Looks at health and numbers are no use cases: nothing is promised there. */
const LOOKS: ReadonlySet<string> = new Set(['readiness', 'counts']);

/**
 * Every fail point that the code has: from each method of the broker along all functions that it
 * can reach to the calls of ports, by the compiler's own knowledge of names and types.
 */
export function failPointsOfCode(): readonly string[] {
  const steps = new Map<string, Set<string>>();
  for (const [method, calls] of callsOfMethods()) {
    const useCase = useCaseName(method);
    const known = steps.get(useCase) ?? new Set<string>();
    for (const [port, name] of calls) {
      if (port === 'ledger' && isLedgerRead(name)) continue;
      known.add(stepName(port, name));
    }
    if (known.size > 0 && !LOOKS.has(method)) steps.set(useCase, known);
  }
  return [...steps].flatMap(([useCase, known]) =>
    [...known, ...(NOT_ASKED.has(useCase) ? [] : ['answer'])].flatMap((step) => {
      const between =
        step === 'minter_credential' ? ['before', 'sent', 'after'] : ['before', 'after'];
      return between.map((moment) => `${useCase}.${step}.${moment}`);
    }),
  );
}

type Call = readonly [port: Port, method: string];

function callsOfMethods(): ReadonlyMap<string, readonly Call[]> {
  const file = resolve('src/broker/create-broker.ts');
  const { options } = ts.parseJsonConfigFileContent(
    ts.readConfigFile('tsconfig.json', (path) => ts.sys.readFile(path)).config,
    ts.sys,
    '.',
  );
  // Names are all that is asked about: without the libraries it takes a quarter of the time.
  const program = ts.createProgram([file], { ...options, types: [], noLib: true });
  const source = program.getSourceFile(file);
  const methods = source && returnedObject(source);
  if (!methods) throw new Error('createBroker returns no object');
  const checker = program.getTypeChecker();
  return new Map(
    methods.properties.map((property) => {
      const calls = new Map<string, Call>();
      follow(checker, property, new Set(), calls);
      return [property.name?.getText() ?? '', [...calls.values()]];
    }),
  );
}

function returnedObject(source: ts.SourceFile): ts.ObjectLiteralExpression | undefined {
  let found: ts.ObjectLiteralExpression | undefined;
  const visit = (node: ts.Node): void => {
    const value = ts.isReturnStatement(node) ? node.expression : undefined;
    if (!found && value && ts.isObjectLiteralExpression(value)) found = value;
    else ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

/** Collects the calls of ports below a node and below every function of the broker it names. */
function follow(
  checker: ts.TypeChecker,
  node: ts.Node,
  seen: Set<ts.Node>,
  calls: Map<string, Call>,
): void {
  if (ts.isIdentifier(node)) {
    for (const declaration of declarationsOf(checker, node)) {
      const port = portOf(declaration);
      if (port) calls.set(`${port}.${node.text}`, [port, node.text]);
      if (isOfBroker(declaration) && !seen.has(declaration)) {
        seen.add(declaration);
        follow(checker, declaration, seen, calls);
      }
    }
  }
  ts.forEachChild(node, (child) => follow(checker, child, seen, calls));
}

function declarationsOf(checker: ts.TypeChecker, name: ts.Identifier): readonly ts.Declaration[] {
  const symbol = checker.getSymbolAtLocation(name);
  const isAlias = symbol !== undefined && (symbol.flags & ts.SymbolFlags.Alias) !== 0;
  return (isAlias ? checker.getAliasedSymbol(symbol) : symbol)?.declarations ?? [];
}

function isOfBroker(declaration: ts.Declaration): boolean {
  const { fileName } = declaration.getSourceFile();
  return (
    fileName.includes('/src/broker/') &&
    (ts.isFunctionDeclaration(declaration) || ts.isVariableDeclaration(declaration))
  );
}

function portOf(declaration: ts.Declaration): Port | undefined {
  if (!ts.isMethodSignature(declaration) && !ts.isPropertySignature(declaration)) return undefined;
  const path = declaration.getSourceFile().fileName;
  const [, types] = Object.entries(PORTS).find(([file]) => path.endsWith(file)) ?? [];
  let parent: ts.Node = declaration.parent;
  while (!ts.isTypeAliasDeclaration(parent) && !ts.isSourceFile(parent)) parent = parent.parent;
  return ts.isTypeAliasDeclaration(parent) ? types?.[parent.name.text] : undefined;
}
