import { createHash } from 'node:crypto';
import pg from 'pg';
import type { PostgresPoolClient, PostgresQueryResult } from 'kysely';
import { LedgerUnreachable } from '../ledger.ts';
import { translateError } from './translate-error.ts';

/** Statements that are prepared per connection; lists with many filters go beyond it, unnamed. */
const NAMED_STATEMENTS_MAX = 200;
const NAMEABLE = /^\s*(select|insert|update|delete|with)\b/i;

/** Names of statements by their text; shared, since a name means the same on every connection. */
const names = new Map<string, string>();

const READ_ONLY = 'The ledger is read-only: this server is not the primary.';
const READ_ONLY_CODE = '25006';

/** What a server tells each session without being asked (PostgreSQL 14 and newer), at a change too. */
const TOLD = ['in_hot_standby', 'default_transaction_read_only'];
type Told = { readonly parameterName: string; readonly parameterValue: string };

/** One connection; queries that do not wait for each other are answered in order. */
export class LedgerSession implements PostgresPoolClient {
  readonly #client: pg.PoolClient;
  readonly #onReadOnly: () => void;
  #broken = false;
  #readOnly = false;
  #timeline = 0;
  readonly #onReturn: (() => void)[] = [];

  /** @param onReadOnly called when this server turns out to be no primary any more. */
  constructor(client: pg.PoolClient, onReadOnly: () => void) {
    this.#client = client;
    this.#onReadOnly = onReadOnly;
    if (!(client instanceof pg.Client)) return;
    client.connection.on('parameterStatus', (told: Told) => {
      if (TOLD.includes(told.parameterName) && told.parameterValue === 'on') this.#turnReadOnly();
    });
  }

  /** Raised by each promotion of a standby (PostgreSQL's timelines); 0 where the server has none. */
  get timeline(): number {
    return this.#timeline;
  }

  query<Row>(text: string, values: readonly unknown[]): Promise<PostgresQueryResult<Row>>;
  query<Row>(cursor: never): Row;
  async query(text: string, values: readonly unknown[] = []): Promise<unknown> {
    const name = statementName(text);
    let answer: unknown;
    try {
      answer = await this.#client.query({ ...(name ? { name } : {}), text, values: [...values] });
    } catch (error) {
      const translated = translateError(error);
      this.#broken ||= translated.drop;
      if ((error as { code?: unknown }).code === READ_ONLY_CODE) this.#turnReadOnly();
      throw translated.error;
    }
    // It comes before the end of an answer: what such a server read may be old.
    if (this.#readOnly) throw new LedgerUnreachable(READ_ONLY);
    return answer;
  }

  /** What `send` sends goes out in one packet, one system call instead of one a statement. */
  together<Sent>(send: () => Sent): Sent {
    const stream = this.#client instanceof pg.Client ? this.#client.connection.stream : undefined;
    stream?.cork();
    try {
      return send();
    } finally {
      stream?.uncork();
    }
  }

  release(): void {
    this.#client.release(this.#broken);
    for (const told of this.#onReturn.splice(0)) told();
  }

  /** Has `told` called, once, when whoever has it now gives it back. */
  onReturn(told: () => void): void {
    this.#onReturn.push(told);
  }

  /** Closes it instead of keeping it for the next caller. */
  discard(): void {
    this.#client.release(true);
  }

  /**
   * Rejects, and discards the connection, where it leads to a standby or to a server that was made
   * read-only: after a failover an address may still lead to the old primary.
   */
  async demandPrimary(): Promise<void> {
    try {
      const asked = this.query<{ setting: string }>(
        "select current_setting('transaction_read_only') as setting",
        [],
      );
      // Databases that only speak Postgres's language may have no timelines.
      const timeline = this.query<{ timeline: string }>(
        'select left(pg_walfile_name(pg_current_wal_lsn()), 8) as timeline',
        [],
      ).catch(() => undefined);
      const { rows } = await asked;
      if (rows[0]?.setting !== 'off') throw new LedgerUnreachable(READ_ONLY);
      this.#timeline = parseInt((await timeline)?.rows[0]?.timeline ?? '0', 16);
    } catch (error) {
      this.discard();
      throw error;
    }
  }

  #turnReadOnly(): void {
    this.#broken = true;
    if (this.#readOnly) return;
    this.#readOnly = true;
    this.#onReadOnly();
  }
}

function statementName(text: string): string | undefined {
  const known = names.get(text);
  if (known !== undefined) return known;
  if (names.size >= NAMED_STATEMENTS_MAX || !NAMEABLE.test(text)) return undefined;
  const name = `mayfly_${createHash('sha256').update(text).digest('hex').slice(0, 24)}`;
  names.set(text, name);
  return name;
}
