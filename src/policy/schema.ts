/**
 * The version of the Cedar schema. Its names are frozen: a later version may add entities,
 * attributes and actions, and never renames or removes one, so that policies go on to mean what
 * they meant.
 */
export const CEDAR_SCHEMA_VERSION = 1;

/**
 * What policies may speak of. Risk, exposure and the like are enumerations, so that a misspelt
 * value is an error when the catalogue is loaded and not a condition that never holds.
 */
export const CEDAR_SCHEMA = `
entity Exposure enum ["internal", "external"];
entity Risk enum ["low", "medium", "high", "critical"];
entity Sensitivity enum ["public", "internal", "confidential", "restricted"];
entity Revocability enum ["proven", "revocable", "expiry", "static"];

entity AgentGroup;
entity PersonGroup;
entity ScopeGroup;

entity Agent in [AgentGroup] {
  owner: String,
  environment: String,
  exposure: Exposure,
  tier: String,
};

entity Person in [PersonGroup];

entity Scope in [ScopeGroup] {
  owner: String,
  kind: String,
  target: String,
  actions: Set<String>,
  locations: Set<String>,
  datatypes?: Set<String>,
  max_ttl_seconds: Long,
  risk: Risk,
  sensitivity: Sensitivity,
  revocability: Revocability,
};

entity TaskType {
  owner: String,
  risk: Risk,
  max_ttl_seconds: Long,
};

// The claims of the workload token that the agent's mapping rule lets policies see.
entity Claims tags String;

type ExchangeContext = {
  task_type: TaskType,
  actions: Set<String>,
  locations: Set<String>,
  datatypes?: Set<String>,
  workflow?: String,
  ttl_seconds: Long,
  open_leases: Long,
  recent_leases: Long,
  chain_depth: Long,
  claims: Claims,
  person?: Person,
  approved: Bool,
  now: datetime,
  // UTC; weekday 1 is Monday, 7 is Sunday.
  hour: Long,
  weekday: Long,
};

action exchange appliesTo {
  principal: [Agent],
  resource: [Scope],
  context: ExchangeContext,
};
`;
