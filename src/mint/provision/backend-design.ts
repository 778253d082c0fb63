import type { Scope } from '../../catalogue/scope.ts';
import type { Target } from '../../catalogue/target.ts';
import { MINTER_NAME, REAPER_NAME, tokenRoleOf } from '../backend-names.ts';
import { connectionUrl } from './connection-url.ts';

/** The statements that OpenBao runs at the target for one scope, in its order. */
export type Statements = {
  readonly creation: readonly string[];
  readonly revocation: readonly string[];
  readonly renew: readonly string[];
};

export type ConfigDesign = {
  readonly target: string;
  readonly mount: string;
  readonly config: string;
  /** With OpenBao's placeholders for user name and password. */
  readonly connectionUrl: string;
  readonly adminUsername: string;
  /** Sorted. */
  readonly allowedRoles: readonly string[];
};

export type ScopeDesign = {
  readonly scope: string;
  readonly mount: string;
  readonly config: string;
  readonly role: string;
  /** Also the name of the policy. */
  readonly tokenRole: string;
  readonly longestSeconds: number;
  readonly statements: Statements;
};

/** All that OpenBao must hold for one installation, as the catalogue of the day wants it. */
export type BackendDesign = {
  readonly installation: string;
  /** Sorted. */
  readonly mounts: readonly string[];
  readonly configs: readonly ConfigDesign[];
  readonly scopes: readonly ScopeDesign[];
};

export type DesignInput = {
  /** 4 characters; every credential's name begins with `m<installation>-`. */
  readonly installation: string;
  readonly scopes: Iterable<Scope>;
  readonly targets: ReadonlyMap<string, Target>;
  readonly statements: (scope: Scope, target: Target) => Statements;
  /**
   * The PEM file with a target's authorities, as a path on OpenBao's machine: its Postgres driver
   * takes no text. Undefined where the system's authorities there will do.
   */
  readonly caFileOf: (target: Target) => string | undefined;
};

/**
 * Draws up what OpenBao must hold.
 *
 * @throws RangeError for a catalogue that cannot be served: a scope without its target, two scopes
 *   with one backend role, two targets in one place, a scope whose name is one of ours.
 */
export function designBackend(input: DesignInput): BackendDesign {
  const scopes = [...input.scopes].map((scope) => scopeDesign(input, scope));
  const targets = [...input.targets.values()];
  refuseTwice(
    scopes.map(({ mount, role }) => `${mount}/roles/${role}`),
    'scopes share the backend role',
  );
  refuseTwice(
    targets.map(({ backend }) => `${backend.mount}/config/${backend.config}`),
    'targets share the backend place',
  );
  return {
    installation: input.installation,
    mounts: [...new Set(targets.map(({ backend }) => backend.mount))].sort(),
    configs: targets.map((target) => configDesign(target, scopes, input.caFileOf(target))),
    scopes,
  };
}

function scopeDesign(input: DesignInput, scope: Scope): ScopeDesign {
  const target = input.targets.get(scope.target);
  if (target === undefined) {
    throw new RangeError(`scope ${scope.name}: there is no target ${scope.target}`);
  }
  const tokenRole = tokenRoleOf(scope.name);
  if (tokenRole === MINTER_NAME || tokenRole === REAPER_NAME) {
    throw new RangeError(`scope ${scope.name}: the name is taken by Mayfly's own identity`);
  }
  return {
    scope: scope.name,
    ...target.backend,
    role: scope.backend_role,
    tokenRole,
    longestSeconds: scope.max_ttl_seconds,
    statements: input.statements(scope, target),
  };
}

function configDesign(
  target: Target,
  scopes: readonly ScopeDesign[],
  caFile: string | undefined,
): ConfigDesign {
  const { mount, config } = target.backend;
  return {
    target: target.name,
    mount,
    config,
    connectionUrl: connectionUrl({
      ...(target.server ?? target.client),
      database: target.database,
      sslmode: target.tls,
      caFile,
    }),
    adminUsername: target.admin.username,
    allowedRoles: scopes
      .filter((scope) => scope.mount === mount && scope.config === config)
      .map((scope) => scope.role)
      .sort(),
  };
}

function refuseTwice(places: readonly string[], problem: string): void {
  const twice = places.find((place, index) => places.indexOf(place) !== index);
  if (twice !== undefined) throw new RangeError(`${problem} ${twice}: each needs its own`);
}
