import { readFile } from 'node:fs/promises';
import { Option } from 'commander';
import type { Command } from 'commander';
import type pg from 'pg';
import { SecretText } from '../foundation/secret-text.ts';
import { CommandFailure, EXIT } from './exit-code.ts';
import { print, table } from './print.ts';

const EXAMPLES = `
The credential is read from a file or from standard input, never from an argument, which other
users of the machine could see. It is the answer of /exchange as it came, or its access_token.

Examples:
  $ mayfly query --credential lease.json 'select count(*) from orders'
  $ curl ... /exchange | mayfly query 'select current_user'

Exit status: 0 answered, 1 the server refused the login or the statement, 2 no usable credential,
3 the server cannot be reached.`;

type Options = { readonly credential: string; readonly json?: true };

export function registerQuery(program: Command): void {
  program
    .command('query')
    .description('ask a database with a credential that Mayfly issued (where there is no psql)')
    .argument('<sql>', 'one statement')
    .addOption(
      new Option('--credential <file>', 'where the credential is; - is standard input').default(
        '-',
      ),
    )
    .option('--json', 'rows as JSON, for programs')
    .addHelpText('after', EXAMPLES)
    .action((sql: string, options: Options) => query(sql, options));
}

async function query(sql: string, options: Options): Promise<void> {
  const credential = credentialIn(await textOf(options.credential));
  const rows = await ask(credential, sql);
  print(options.json ? JSON.stringify(rows) : asTable(rows));
}

/** Everything in a file, or on standard input where it is called `-`. */
export async function textOf(file: string): Promise<string> {
  try {
    if (file !== '-') return await readFile(file, 'utf8');
    process.stdin.setEncoding('utf8');
    let text = '';
    for await (const part of process.stdin) text += String(part);
    return text;
  } catch {
    throw new CommandFailure(
      EXIT.usage,
      `The credential file ${file} cannot be read. Give --credential.`,
    );
  }
}

/**
 * Finds the connection URI in an answer of /exchange, or takes the text for the URI itself.
 *
 * @throws CommandFailure when it is neither; the text is not repeated.
 */
export function credentialIn(text: string): SecretText {
  const uri = (accessTokenIn(text) ?? text).trim();
  if (/^postgres(ql)?:\/\/\S+$/.test(uri)) return new SecretText(uri);
  throw new CommandFailure(
    EXIT.usage,
    'No credential: expected the JSON answer of /exchange or a postgresql:// URI.' +
      (text.includes('"error"') ? ' What was given is an error answer.' : ''),
  );
}

/** The `access_token` of an answer of /exchange; undefined for what is none. */
export function accessTokenIn(text: string): string | undefined {
  try {
    const answer = JSON.parse(text) as { access_token?: unknown } | null;
    return typeof answer?.access_token === 'string' ? answer.access_token : undefined;
  } catch {
    return undefined;
  }
}

/** Milliseconds until a server that does not answer counts as out of reach. */
const CONNECT_TIMEOUT_MS = 10_000;

type Row = Readonly<Record<string, unknown>>;

async function ask(credential: SecretText, sql: string): Promise<readonly Row[]> {
  const { Client, DatabaseError } = (await import('pg')).default;
  const client = new Client({
    connectionString: credential.reveal(),
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    application_name: 'mayfly query',
  });
  // Sessions are cut from the other side here; the query's own rejection tells so.
  client.on('error', () => undefined);
  try {
    await client.connect();
    const answer: pg.QueryResult<Row> | pg.QueryResult<Row>[] = await client.query<Row>(sql);
    // The driver's types do not tell: several statements are answered by a list.
    if (Array.isArray(answer)) throw new CommandFailure(EXIT.usage, 'Give one statement.');
    return answer.rows;
  } catch (thrown) {
    if (thrown instanceof CommandFailure) throw thrown;
    throw asFailure(thrown, thrown instanceof DatabaseError);
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** Postgres names the role and the reason in its messages, never the password. */
function asFailure(thrown: unknown, fromServer: boolean): CommandFailure {
  const said = thrown instanceof Error ? thrown.message : 'unknown error';
  return new CommandFailure(
    fromServer ? EXIT.failed : EXIT.unreachable,
    fromServer ? `The server refused: ${said}.` : `The server cannot be reached: ${said}.`,
  );
}

function asTable(rows: readonly Row[]): string {
  const [first] = rows;
  if (first === undefined) return '(no rows)';
  const heading = Object.keys(first);
  return table([heading, ...rows.map((row) => heading.map((name) => cell(row[name])))]);
}

function cell(value: unknown): string {
  if (value === null || value === undefined) return '';
  if (value instanceof Date) return value.toISOString();
  return typeof value === 'string' ? value : JSON.stringify(value);
}
