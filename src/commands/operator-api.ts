import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { codeOf } from '../foundation/failure.ts';
import { SecretText } from '../foundation/secret-text.ts';
import { environment, valueIn } from '../settings/environment.ts';
import { webAddress } from '../settings/forms.ts';
import { CommandFailure, EXIT } from './exit-code.ts';

export type OperatorOptions = { readonly url?: string; readonly tokenFile?: string };

/** Where a broker listens unless it was told otherwise (docs/settings.md). */
const DEFAULT_URL = 'http://127.0.0.1:8080';

/** Gives a command the two options that every call of the REST API needs. */
export function withOperatorOptions(command: Command): Command {
  return command
    .option(
      '--url <url>',
      `where the broker answers (else MAYFLY_URL, else ${DEFAULT_URL}); if its certificate is of an authority of your own: NODE_EXTRA_CA_CERTS=ca.pem`,
    )
    .option(
      '--token-file <file>',
      'holds your OIDC access token; - is standard input (else MAYFLY_TOKEN_FILE)',
    );
}

/** Milliseconds; the longest list takes a fraction of this. */
const ANSWER_TIMEOUT_MS = 30_000;

/** A call that changes something. `waitSeconds`: how long it may wait for deaths. */
export type OperatorCall = { readonly body: unknown; readonly waitSeconds?: number };

/**
 * Asks the REST API as an operator; with a call, it posts it.
 *
 * @param path with its query, such as `/v1/leases?limit=50`.
 * @throws CommandFailure: 2 without a usable token or when it cannot be asked this, 3 when the broker cannot be reached, 1 when it
 *   refuses; then with the detail of its problem document (RFC 9457).
 */
export async function askOperatorApi(
  options: OperatorOptions,
  path: string,
  call?: OperatorCall,
): Promise<unknown> {
  const set = environment();
  const token = await operatorToken(options.tokenFile ?? valueIn(set, 'MAYFLY_TOKEN_FILE'));
  const url = brokerUrl(path, options.url ?? valueIn(set, 'MAYFLY_URL'));
  const response = await send(url, token, call);
  const body: unknown = await response.json().catch(() => undefined);
  if (response.ok && body !== undefined) return body;
  const asked = response.status === 400 ? EXIT.usage : EXIT.failed;
  throw new CommandFailure(asked, refusal(response.status, body));
}

/** Below the path that a gateway may have put in front. The token goes nowhere without TLS. */
function brokerUrl(path: string, text = DEFAULT_URL): URL {
  const base = webAddress(text.trim());
  if (base.ok) return new URL(`${base.value}${path}`);
  throw new CommandFailure(
    EXIT.usage,
    `The broker's URL ${base.failure}. Set --url or MAYFLY_URL.`,
  );
}

async function operatorToken(file: string | undefined): Promise<SecretText> {
  if (file === undefined) {
    throw new CommandFailure(
      EXIT.usage,
      'Who are you? Name a file with your OIDC access token: --token-file or MAYFLY_TOKEN_FILE.',
    );
  }
  try {
    // 0 is the descriptor of standard input.
    const text = await readFile(file === '-' ? '/dev/stdin' : file, 'utf8');
    return new SecretText(text.trim());
  } catch {
    throw new CommandFailure(EXIT.usage, `The token file ${file} cannot be read.`);
  }
}

async function send(url: URL, token: SecretText, call?: OperatorCall): Promise<Response> {
  try {
    return await fetch(url, {
      headers: {
        authorization: `Bearer ${token.reveal()}`,
        accept: 'application/json',
        ...(call ? { 'content-type': 'application/json' } : {}),
        ...(call?.waitSeconds === undefined ? {} : { prefer: `wait=${call.waitSeconds}` }),
      },
      ...(call ? { method: 'POST', body: JSON.stringify(call.body) } : {}),
      // A redirect would take the token somewhere else.
      redirect: 'error',
      signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS + (call?.waitSeconds ?? 0) * 1000),
    });
  } catch (thrown) {
    throw new CommandFailure(EXIT.unreachable, unreachable(url, thrown));
  }
}

/** What Node and OpenSSL call a certificate that is not accepted. */
const CERTIFICATE_CODE = /CERT|VERIFY_LEAF/;

/** `fetch` keeps the reason in `cause`. */
function unreachable({ origin }: URL, thrown: unknown): string {
  const code = thrown instanceof Error ? codeOf(thrown.cause) : undefined;
  if (code !== undefined && CERTIFICATE_CODE.test(code)) {
    return `The certificate at ${origin} is not accepted (${code}). If an authority of your own signed it, set NODE_EXTRA_CA_CERTS to its file (PEM).`;
  }
  return `No broker answers at ${origin}. Is it running there? Set --url or MAYFLY_URL.`;
}

function refusal(status: number, body: unknown): string {
  const problem = (body ?? {}) as { detail?: unknown; title?: unknown; field?: unknown };
  const words = [problem.detail, problem.title].find((text) => typeof text === 'string');
  const said = typeof problem.field === 'string' ? `${problem.field}: ${words ?? ''}` : words;
  return `The broker refused (${status})${said === undefined ? '' : `: ${said}`}`;
}
