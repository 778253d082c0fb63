import { SecretText } from '../../foundation/secret-text.ts';

/** Plain HTTP, as any agent in any language would send it. */
export type AgentCalls = {
  exchange(request: {
    readonly token: SecretText;
    readonly scope: string;
    readonly task: Readonly<Record<string, unknown>>;
    readonly ttl?: number;
  }): Promise<ExchangeAnswer>;
  complete(token: SecretText, taskId: string): Promise<CompletionAnswer>;
};

export type Granted = {
  readonly granted: true;
  readonly uri: SecretText;
  readonly username: string;
  readonly expiresIn: number;
  readonly taskId: string;
  readonly leaseId: string;
  readonly revocability: string;
};

export type Refused = {
  readonly granted: false;
  readonly status: number;
  readonly error: string;
  readonly reason: string;
  readonly description: string;
  readonly decisionId: string | undefined;
};

export type ExchangeAnswer = Granted | Refused;

export type CompletionAnswer = { readonly status: number; readonly states: readonly string[] };

const GRANT_TYPE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:jwt';

export function agentCalls(broker: string): AgentCalls {
  return {
    async exchange({ token, scope, task, ttl }) {
      const form = new URLSearchParams({
        grant_type: GRANT_TYPE,
        subject_token: token.reveal(),
        subject_token_type: TOKEN_TYPE,
        scope,
        authorization_details: JSON.stringify([{ type: 'agent_task', ...task }]),
        ...(ttl === undefined ? {} : { ttl: String(ttl) }),
      });
      const response = await fetch(`${broker}/exchange`, { method: 'POST', body: form });
      const body = (await response.json()) as Record<string, unknown>;
      return response.ok ? granted(body) : refused(response.status, body);
    },
    async complete(token, taskId) {
      const response = await fetch(`${broker}/v1/tasks/${taskId}/complete`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${token.reveal()}`,
          'content-type': 'application/json',
        },
        body: JSON.stringify({ outcome: 'succeeded' }),
      });
      const body = (await response.json()) as { leases?: readonly { state: string }[] };
      return { status: response.status, states: (body.leases ?? []).map(({ state }) => state) };
    },
  };
}

function granted(body: Record<string, unknown>): Granted {
  const credential = body['credential'] as { username: string };
  return {
    granted: true,
    uri: new SecretText(text(body['access_token'])),
    username: credential.username,
    expiresIn: Number(body['expires_in']),
    taskId: text(body['task_id']),
    leaseId: text(body['lease_id']),
    revocability: text(body['revocability']),
  };
}

function refused(status: number, body: Record<string, unknown>): Refused {
  const decisionId = body['decision_id'];
  return {
    granted: false,
    status,
    error: text(body['error']),
    reason: text(body['error_reason']),
    description: text(body['error_description']),
    decisionId: typeof decisionId === 'string' ? decisionId : undefined,
  };
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
