import { endingRoutines } from './ending-routines.ts';
import { finishRoutine } from './finish-routine.ts';
import { leftoversRoutine } from './leftovers-routine.ts';
import { listingRoutines } from './listing-routines.ts';
import { makeRoutine } from './make-routine.ts';
import { quoteIdentifier } from './quoting.ts';
import type { Routine } from './routine.ts';
import { schemaOf } from './schema-name.ts';

/**
 * Every function and procedure of the schema. Signatures are only ever added: OpenBao copies
 * statements into leases, so an old one is called for as long as a lease holds it.
 */
export function routines(installation: string): readonly Routine[] {
  return [
    makeRoutine(installation),
    ...endingRoutines(installation),
    leftoversRoutine(installation),
    ...listingRoutines(installation),
    finishRoutine(installation),
  ];
}

/** A table of the schema, by name. */
export type Table = { readonly name: string; readonly sql: string };

/** The tables and their indexes, in the order of their making. */
export function tables(installation: string): readonly Table[] {
  const schema = quoteIdentifier(schemaOf(installation));
  return [
    {
      name: 'about',
      // The one row says whose schema this is: 4 characters of installation id may collide.
      sql: `create table ${schema}.about (
        only_row boolean primary key default true check (only_row),
        ledger text not null,
        made_at timestamptz not null default clock_timestamp())`,
    },
    {
      name: 'allowed_group',
      sql: `create table ${schema}.allowed_group (
        group_name name primary key,
        connection_limit integer not null check (connection_limit > 0),
        creates_in name,
        estate name)`,
    },
    {
      name: 'name',
      // made_at is null where the name was closed before it was made; role is the oid that was made
      // or, for a role that somebody else made, the one that `close` found. estate is a later column.
      sql: `create table ${schema}.name (
        name text collate "C" primary key,
        group_name name,
        made_at timestamptz,
        role oid,
        ended_at timestamptz)`,
    },
    { name: 'name_role', sql: `create index name_role on ${schema}.name (role)` },
  ];
}

/** A column that a table got later, and how it is added to one that lacks it. */
export type LaterColumn = {
  readonly table: string;
  readonly name: string;
  readonly add: readonly string[];
};

/** In the order of their making: after the tables, before `apply` touches the rows of groups. */
export function laterColumns(installation: string): readonly LaterColumn[] {
  const schema = quoteIdentifier(schemaOf(installation));
  return [
    {
      table: 'name',
      name: 'estate',
      // Kept with the name, since its group or the group's creates_in may go while the name lives.
      // Names that live already get it from their group before this very `apply` can take it away.
      add: [
        `alter table ${schema}.name add column estate name`,
        `update ${schema}.name n set estate = g.estate from ${schema}.allowed_group g
          where g.group_name = n.group_name`,
      ],
    },
  ];
}
