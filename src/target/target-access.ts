/**
 * Mayfly's own access to a target: the guard ends credentials by name, the prover looks.
 * Every call may be repeated any number of times. `docs/lifecycle.md` explains the order.
 */
export type TargetAccess = {
  readonly guard: Guard;
  readonly prover: Prover;
};

/** What `close` saw of a name, before anything was ended. */
export type Closing =
  /** The role existed: the positive control. */
  | 'alive'
  /** A `make` of this name is under way and holds the name: not decided yet. */
  | 'in_flight'
  /** No role of this name, and none can be made any more: final. */
  | 'nothing';

/** What the guard did with one name. */
export type Ending = {
  readonly name: string;
  readonly closing: Closing;
  /** The oid that `close` saw, now or in an earlier call; null where no role was ever seen. */
  readonly oid: number | null;
  /** True when, as far as the guard can tell, nobody can log in or is logged in by this name. */
  readonly ended: boolean;
  /** The role is disabled and stripped but cannot be dropped yet. */
  readonly residue: string | null;
  /** Why `ended` is false. Contains no secret. */
  readonly reason: string | null;
  /** The target's clock at the end of the call. */
  readonly targetNow: Date;
  /** Which server answered, in the form of `Look.server`: the prover must have asked the same. */
  readonly server: string;
};

export type GuardedName = {
  readonly name: string;
  readonly oid: number | null;
  readonly canLogin: boolean;
  readonly deadline: Date;
  /** False: this database's Mayfly never heard of it (made elsewhere in the cluster, or by hand). */
  readonly registered: boolean;
};

export type Guard = {
  /** Ends all these names, each step for all before it commits. Rejects when out of reach. */
  end(names: readonly string[]): Promise<readonly Ending[]>;
  /** Names of this installation past their own deadline that can log in or are logged in. */
  overdue(limit: number): Promise<readonly GuardedName[]>;
  /** All names of this installation that exist, whatever their deadline; for reconciling. */
  list(): Promise<readonly GuardedName[]>;
  /** The target's clock, for measuring skew. */
  now(): Promise<Date>;
};

/** What the prover is asked to look for. */
export type Suspect = { readonly name: string; readonly oid: number | null };

/** What the prover saw of one name. */
export type Look = {
  readonly name: string;
  readonly roleExists: boolean;
  readonly canLogin: boolean;
  /** Sessions of the oid (or of the name, where no oid is known). */
  readonly sessions: number;
  /**
   * Which server answered: `<system_identifier>/<database>`, and `<system_identifier>/standby/...`
   * for a standby, which knows nothing of the primary's sessions.
   */
  readonly server: string;
  readonly at: Date;
};

export type Prover = {
  /** Rejects when the target is out of reach. */
  look(suspects: readonly Suspect[]): Promise<readonly Look[]>;
  /** Roles with a name of our form but of another installation: seen, never touched. */
  strangers(limit: number): Promise<readonly string[]>;
};
