import { sql } from 'kysely';
import { isUuid } from '../../foundation/ids.ts';
import { CursorInvalid } from '../ledger.ts';
import type { OpenLease, Page } from '../ledger.ts';
import type { LedgerDatabase } from './ledger-database.ts';

/** What may live first, then what is dead: a lease only moves from the one to the other. */
type Place =
  | { readonly part: 'live'; readonly agent: string; readonly id: string }
  | { readonly part: 'dead'; readonly id: string };

type Row = OpenLease & { readonly agent: string };

const NIL = '00000000-0000-0000-0000-000000000000';

const COLUMNS = sql.raw(`l.id, l.state, l.credential_name as "credentialName",
  l.backend_lease_id as "backendLeaseId", l.mint_outcome as "mintOutcome",
  l.created_at as "createdAt", l.activated_at as "activatedAt", l.snapshot->>'target' as target,
  l.snapshot->>'mount' as mount, l.snapshot->>'role' as role, l.agent_id as agent`);

/** Both parts run along the index that there is of just these states. */
export async function openLeases(
  ledger: LedgerDatabase,
  limit: number,
  cursor: string | null,
): Promise<Page<OpenLease>> {
  const after: Place = cursor === null ? { part: 'live', agent: '', id: NIL } : decode(cursor);
  const rows = await (after.part === 'live'
    ? liveAfter(ledger, after, limit)
    : deadAfter(ledger, after.id, limit));
  const last = rows.at(-1);
  const items = rows.map(({ agent: _agent, ...lease }) => lease);
  if (rows.length === limit && last) {
    const { agent, id } = last;
    return {
      items,
      cursor: encode(after.part === 'live' ? { part: 'live', agent, id } : { part: 'dead', id }),
    };
  }
  return { items, cursor: after.part === 'live' ? encode({ part: 'dead', id: NIL }) : null };
}

async function liveAfter(
  ledger: LedgerDatabase,
  { agent, id }: { readonly agent: string; readonly id: string },
  limit: number,
): Promise<readonly Row[]> {
  const { rows } = await sql<Row>`
    select ${COLUMNS} from mayfly.lease as l
    where l.state in ('minting', 'active', 'revoking') and (l.agent_id, l.id) > (${agent}, ${id}::uuid)
    order by l.agent_id, l.id limit ${limit}`.execute(ledger.db);
  return rows;
}

async function deadAfter(
  ledger: LedgerDatabase,
  id: string,
  limit: number,
): Promise<readonly Row[]> {
  const { rows } = await sql<Row>`
    select ${COLUMNS} from mayfly.lease as l
    where l.state = 'revoked' and l.id > ${id} order by l.id limit ${limit}`.execute(ledger.db);
  return rows;
}

function encode(place: Place): string {
  return JSON.stringify(place.part === 'live' ? [place.id, place.agent] : [place.id]);
}

function decode(cursor: string): Place {
  const [id, agent] = JSON.parse(cursor) as readonly (string | undefined)[];
  if (id === undefined || !isUuid(id)) throw new CursorInvalid('Not a cursor of open leases.');
  return agent === undefined ? { part: 'dead', id } : { part: 'live', agent, id };
}
