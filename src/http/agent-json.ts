import type { AgentView, ManyEnded } from '../broker/broker.ts';

/** An agent as REST shows it. `registered`: the catalogue in force declares it. */
export function agentJson({ id, declared, record }: AgentView) {
  const quarantine = record?.quarantine ?? null;
  return {
    id,
    registered: declared !== null,
    owner: declared?.owner ?? null,
    ends: declared?.ends ?? null,
    environment: declared?.environment ?? null,
    tier: declared?.tier ?? null,
    state: quarantine === null ? 'active' : 'quarantined',
    quarantine:
      quarantine === null
        ? null
        : {
            since: quarantine.since.toISOString(),
            by: quarantine.by,
            reason: quarantine.reason,
          },
    first_seen_at: record?.firstSeenAt.toISOString() ?? null,
    live_leases: record?.live ?? { minting: 0, active: 0, revoking: 0 },
  };
}

export function manyEndedJson({ fenced, dead, dying }: ManyEnded) {
  return { fenced, dead, dying };
}
