import { markMountOf, MINTER_NAME, REAPER_NAME } from '../backend-names.ts';
import { isRecord } from './administrator.ts';
import type { BackendDesign, ConfigDesign, ScopeDesign } from './backend-design.ts';
import type { Piece } from './piece.ts';
import { minterPolicy, reaperPolicy, scopePolicy, signedBy } from './policy-texts.ts';

/**
 * Seconds by which a role's TTL is above the scope's longest life: the batch token (30 s above the
 * granted life) is what ends the lease; at equal values it was cut below the deadline.
 */
export const ROLE_MARGIN_SECONDS = 60;

/**
 * Seconds that an identity's token lives without a renewal; it is renewed at half of that. Long
 * enough to outlive a night's maintenance of OpenBao, short enough that a stolen one ends.
 */
const IDENTITY_PERIOD_SECONDS = 3600;

/** Connections of one config; OpenBao does one thing at a time on them. */
const MAX_OPEN_CONNECTIONS = 4;

const APPROLE_MOUNT = 'approle';

/** The user's name at the target is the token's display name and nothing else. */
const USERNAME_TEMPLATE = '{{ .DisplayName | replace "token-" "" }}';

/**
 * All pieces of a design in the order in which they are made.
 *
 * @param ownedMounts mounts of this installation that OpenBao has already.
 */
export function piecesOf(design: BackendDesign, ownedMounts: readonly string[]): readonly Piece[] {
  const { installation, scopes } = design;
  const mounts = [...new Set([...design.mounts, ...ownedMounts])].sort();
  return [
    approleMethod(),
    ...design.mounts.map((mount) => databaseMount(design, mount)),
    markMount(installation),
    ...design.configs.map(databaseConfig),
    ...scopes.map(databaseRole),
    ...scopes.map((scope) =>
      policy('scope_policy', scope.tokenRole, installation, scopePolicy(installation, scope)),
    ),
    ...scopes.map(tokenRole),
    policy('identity_policy', MINTER_NAME, installation, minterPolicy(design)),
    policy('identity_policy', REAPER_NAME, installation, reaperPolicy(installation, mounts)),
    appRole(MINTER_NAME),
    appRole(REAPER_NAME),
  ];
}

/** By its description a mount is known as ours: every lease below it must be in the ledger. */
export function mountDescription(installation: string): string {
  return `Mayfly ${installation}: every lease below it is Mayfly's own`;
}

function approleMethod(): Piece {
  return {
    kind: 'auth_method',
    path: `sys/auth/${APPROLE_MOUNT}`,
    listedAt: { path: 'sys/auth', key: `${APPROLE_MOUNT}/` },
    wanted: { type: 'approle' },
    fixed: ['type'],
  };
}

function databaseMount(design: BackendDesign, mount: string): Piece {
  const longest = Math.max(
    ...design.scopes.filter((scope) => scope.mount === mount).map((scope) => scope.longestSeconds),
    0,
  );
  const seconds = longest + ROLE_MARGIN_SECONDS;
  const ttls = { default_lease_ttl: seconds, max_lease_ttl: seconds };
  const written = { default_lease_ttl: `${seconds}s`, max_lease_ttl: `${seconds}s` };
  const description = mountDescription(design.installation);
  return {
    kind: 'mount',
    path: `sys/mounts/${mount}`,
    listedAt: { path: 'sys/mounts', key: `${mount}/` },
    wanted: { type: 'database', description, ...ttls },
    flatten: (data) => ({ ...data, ...(isRecord(data['config']) ? data['config'] : {}) }),
    makeBody: { type: 'database', description, config: written },
    changeAt: { path: `sys/mounts/${mount}/tune`, body: written },
    fixed: ['type', 'description'],
  };
}

/** A place apart from the ledger, so that a ledger that was set back is noticed. */
function markMount(installation: string): Piece {
  const mount = markMountOf(installation);
  const description = `Mayfly ${installation}: which ledger is its own`;
  return {
    kind: 'mark_mount',
    path: `sys/mounts/${mount}`,
    listedAt: { path: 'sys/mounts', key: `${mount}/` },
    wanted: { type: 'kv', description },
    makeBody: { type: 'kv', description, options: { version: '2' } },
    fixed: ['type', 'description'],
  };
}

function databaseConfig(design: ConfigDesign): Piece {
  return {
    kind: 'database_config',
    path: `${design.mount}/config/${design.config}`,
    wanted: {
      plugin_name: 'postgresql-database-plugin',
      connection_url: design.connectionUrl,
      username: design.adminUsername,
      username_template: USERNAME_TEMPLATE,
      // With the default a failed creation puts the clear password into the target's log.
      password_authentication: 'scram-sha-256',
      max_open_connections: MAX_OPEN_CONNECTIONS,
      allowed_roles: design.allowedRoles,
    },
    flatten: (data) => ({
      ...data,
      ...(isRecord(data['connection_details']) ? data['connection_details'] : {}),
    }),
  };
}

function databaseRole(scope: ScopeDesign): Piece {
  const ttl = scope.longestSeconds + ROLE_MARGIN_SECONDS;
  return {
    kind: 'database_role',
    path: `${scope.mount}/roles/${scope.role}`,
    wanted: {
      db_name: scope.config,
      creation_statements: scope.statements.creation,
      revocation_statements: scope.statements.revocation,
      renew_statements: scope.statements.renew,
      rollback_statements: [],
      default_ttl: ttl,
      max_ttl: ttl,
    },
  };
}

function tokenRole(scope: ScopeDesign): Piece {
  return {
    kind: 'token_role',
    path: `auth/token/roles/${scope.tokenRole}`,
    wanted: {
      allowed_policies: [scope.tokenRole],
      allowed_policies_glob: [],
      orphan: true,
      renewable: false,
      token_type: 'batch',
      token_no_default_policy: true,
      token_period: 0,
      token_explicit_max_ttl: 0,
      path_suffix: '',
    },
  };
}

/** One that another installation wrote is not ours to narrow: that one could mint no more. */
function policy(
  kind: 'scope_policy' | 'identity_policy',
  name: string,
  installation: string,
  text: string,
): Piece {
  const path = `sys/policies/acl/${name}`;
  const body = { policy: text };
  return {
    kind,
    path,
    wanted: { ...body, installation },
    // One that nobody signed was written by hand, under our name.
    flatten: (data) => ({ ...data, installation: signedBy(data['policy']) ?? installation }),
    makeBody: body,
    changeAt: { path, body },
    fixed: ['installation'],
  };
}

function appRole(name: string): Piece {
  return {
    kind: 'approle',
    path: `auth/${APPROLE_MOUNT}/role/${name}`,
    wanted: {
      token_policies: [name],
      token_no_default_policy: true,
      token_type: 'service',
      token_period: IDENTITY_PERIOD_SECONDS,
      token_num_uses: 0,
      bind_secret_id: true,
      // A secret id that ends by itself would end Mayfly; it is replaced, not left to expire.
      secret_id_ttl: 0,
      secret_id_num_uses: 0,
    },
  };
}
