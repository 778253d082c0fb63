import { isAlias, isCollection, isMap, isNode, isPair, isScalar, isSeq, LineCounter } from 'yaml';
import { parseAllDocuments, visit } from 'yaml';
import type { Document, Node } from 'yaml';
import type { CatalogueProblem } from './catalogue.ts';
import { fieldName, fileProblem } from './problem.ts';
import type { FieldPath, Place } from './problem.ts';

/** A YAML file as data, with the way back from a field to its place. */
export type ParsedFile = {
  readonly file: string;
  readonly data: unknown;
  /** The place of a field's value, or of the nearest thing around it that exists. */
  place(path: FieldPath): Place;
  /** The place of the name of a field. */
  keyPlace(path: FieldPath): Place;
};

/** `data` of a broken file is what could be made of it: good enough to know its name. */
export type ParsedYaml =
  | { readonly ok: true; readonly parsed: ParsedFile }
  | { readonly ok: false; readonly problems: readonly CatalogueProblem[]; readonly data: unknown };

/**
 * Reads one YAML 1.2 document. Duplicate keys, several documents, tags and aliases are problems:
 * a reviewer must be able to read an entry from top to bottom.
 */
export function parseYaml(file: string, text: string): ParsedYaml {
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: true,
    stringKeys: true,
    schema: 'core',
    version: '1.2',
  });
  const at = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
  const [document] = documents;
  if (!('length' in documents) || document === undefined || document.contents === null) {
    const problem = fileProblem(file, 'is empty', 'Declare one entry, or remove it.');
    return { ok: false, problems: [problem], data: undefined };
  }
  const problems = [
    ...syntaxProblems(file, documents, at),
    ...aliasProblems(file, document, at),
    ...extraDocuments(file, documents, at),
  ];
  if (problems.length > 0) return { ok: false, problems, data: roughly(document) };
  return { ok: true, parsed: withPlaces(file, document, at) };
}

type At = (offset: number) => Place;

/** A broken document may hold what cannot be turned into data, such as aliases to nothing. */
function roughly(document: Document): unknown {
  try {
    return document.toJS();
  } catch {
    return undefined;
  }
}

function syntaxProblems(file: string, documents: readonly Document[], at: At): CatalogueProblem[] {
  return documents.flatMap((document) =>
    [...document.errors, ...document.warnings].map((error) => ({
      file,
      ...at(error.pos[0]),
      field: '(syntax)',
      problem: error.message,
      remedy: REMEDIES[error.code] ?? 'Mend the YAML here: indentation, quotes, brackets.',
    })),
  );
}

const REMEDIES: Readonly<Record<string, string>> = {
  DUPLICATE_KEY: 'Keep one of the two.',
  TAB_AS_INDENT: 'Indent with spaces.',
  BAD_INDENT: 'Indent entries of one level by the same number of spaces, and close each bracket.',
  TAG_RESOLVE_FAILED: 'Write the value without a tag.',
};

function aliasProblems(file: string, document: Document, at: At): CatalogueProblem[] {
  const problems: CatalogueProblem[] = [];
  visit(document, {
    Node: (_key, node) => {
      if (!isAlias(node) && (!('anchor' in node) || node.anchor === undefined)) return;
      problems.push({
        file,
        ...at(start(node)),
        field: '(syntax)',
        problem: 'anchors and aliases are not supported',
        remedy: 'Write the value out, so that the entry can be read from top to bottom.',
      });
    },
  });
  return problems;
}

function extraDocuments(file: string, documents: readonly Document[], at: At): CatalogueProblem[] {
  return documents.slice(1).map((document) => ({
    file,
    ...at(start(document.contents)),
    field: '(syntax)',
    problem: 'a second document begins here',
    remedy: 'Put each entry into a file of its own.',
  }));
}

function withPlaces(file: string, document: Document, at: At): ParsedFile {
  return {
    file,
    data: document.toJS(),
    place: (path) => at(valueOffset(document.contents, path)),
    keyPlace: (path) => at(keyOffset(document.contents, path)),
  };
}

function start(node: unknown): number {
  return isNode(node) ? (node.range?.[0] ?? 0) : 0;
}

/** Walks as far as the path exists; what is missing is placed at what should hold it. */
function valueOffset(root: Node | null, path: FieldPath): number {
  let node: unknown = root;
  let offset = start(root);
  for (const step of path) {
    const child = childOf(node, step);
    if (child === undefined) break;
    node = child.value;
    offset = isScalar(node) || isCollection(node) ? start(node) : child.offset;
  }
  return offset;
}

function keyOffset(root: Node | null, path: FieldPath): number {
  const last = path.at(-1);
  let node: unknown = root;
  for (const step of path.slice(0, -1)) node = childOf(node, step)?.value;
  const child = last === undefined ? undefined : childOf(node, last);
  return child?.offset ?? valueOffset(root, path);
}

function childOf(
  node: unknown,
  step: string | number,
): { value: unknown; offset: number } | undefined {
  if (isMap(node)) {
    const pair = node.items.find(
      (item) => isScalar(item.key) && String(item.key.value) === String(step),
    );
    return isPair(pair) ? { value: pair.value, offset: start(pair.key) } : undefined;
  }
  if (isSeq(node) && typeof step === 'number') {
    const item: unknown = node.items[step];
    return item === undefined ? undefined : { value: item, offset: start(item) };
  }
  return undefined;
}

/** A problem at a field of a parsed file. */
export function fieldProblem(
  parsed: ParsedFile,
  path: FieldPath,
  problem: string,
  remedy: string,
): CatalogueProblem {
  return { file: parsed.file, ...parsed.place(path), field: fieldName(path), problem, remedy };
}
