/** What one client of the demo's identity provider is, and what its tokens say. */
export type IdentityClient = {
  readonly id: string;
  /** The `sub` of its tokens. */
  readonly subject: string;
  /** An agent's tokens are meant for the broker, a person's for the broker's operator calls. */
  readonly kind: 'agent' | 'operator';
  /** The `groups` claim. */
  readonly groups?: readonly string[];
  /** How long its tokens live, in seconds. Default 300. */
  readonly lifeSeconds?: number;
  /** Its tokens claim to be this old, so that they can have ended already. Default 0. */
  readonly issuedSecondsAgo?: number;
};

const TRUST_DOMAIN = 'spiffe://demo.example';

/** The demo's clients: its two agents, some whom the broker refuses, and the people on call. */
export const DEMO_CLIENTS: readonly IdentityClient[] = [
  agent('invoice-reconciler'),
  agent('report-writer'),
  // Nobody registered this one.
  agent('stranger'),
  // A true token of a true agent that ended 55 minutes ago.
  {
    ...agent('invoice-reconciler'),
    id: 'invoice-reconciler-late',
    lifeSeconds: 300,
    issuedSecondsAgo: 3_600,
  },
  operator('viewer', 'mayfly-viewers'),
  operator('operator', 'mayfly-operators'),
  operator('admin', 'mayfly-admins'),
];

function agent(name: string): IdentityClient {
  return { id: name, subject: `${TRUST_DOMAIN}/agent/${name}`, kind: 'agent' };
}

function operator(name: string, group: string): IdentityClient {
  return { id: name, subject: `${name}@demo.example`, kind: 'operator', groups: [group] };
}
