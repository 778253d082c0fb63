import { Agent, request } from 'node:http';

/** An agent over keep-alive HTTP, as lean as the raw contestants' calls. */
export type AgentClient = {
  /** `ttl` in seconds. */
  exchange(
    identifier: string,
    ttl?: number,
  ): Promise<{ readonly taskId: string; readonly username: string }>;
  /** The same where a 503 is an answer too: says its `error_reason`. */
  attempt(identifier: string, ttl: number): Promise<string>;
  /** Resolves with the answer, which must be 200. */
  complete(taskId: string): Promise<void>;
  close(): void;
};

export function agentClient(
  broker: string,
  workloadToken: string,
  taskType = 'reconcile-invoice',
): AgentClient {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const { hostname, port } = new URL(broker);
  const send = (path: string, headers: Record<string, string>, body: string) =>
    new Promise<Record<string, unknown>>((resolve, reject) => {
      const outgoing = request(
        {
          agent,
          host: hostname,
          port,
          method: 'POST',
          path,
          headers: { ...headers, 'content-length': Buffer.byteLength(body) },
        },
        (answer) => {
          let text = '';
          answer.setEncoding('utf8');
          answer.on('data', (piece: string) => (text += piece));
          answer.on('end', () => {
            const { statusCode: status } = answer;
            if (status === 200 || (status === 503 && answer.headers['retry-after'])) {
              resolve(JSON.parse(text) as Record<string, unknown>);
            } else reject(new Error(`${path} answered ${answer.statusCode}: ${text}`));
          });
        },
      );
      outgoing.on('error', reject);
      outgoing.end(body);
    });
  const trade = async (identifier: string, ttl: number) => {
    const form = new URLSearchParams({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: workloadToken,
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      scope: 'orders-read',
      ttl: String(ttl),
      authorization_details: JSON.stringify([
        { type: 'agent_task', task_type: taskType, identifier },
      ]),
    });
    return send(
      '/exchange',
      { 'content-type': 'application/x-www-form-urlencoded' },
      form.toString(),
    );
  };
  return {
    async exchange(identifier, ttl = 300) {
      const answer = await trade(identifier, ttl);
      if ('error' in answer) throw new Error(`exchange: ${reasonOf(answer)}`);
      const { username } = answer['credential'] as { username: string };
      return { taskId: String(answer['task_id']), username };
    },
    async attempt(identifier, ttl) {
      const answer = await trade(identifier, ttl);
      return 'error' in answer ? reasonOf(answer) : 'granted';
    },
    async complete(taskId) {
      const answer = await send(
        `/v1/tasks/${taskId}/complete`,
        { 'content-type': 'application/json', authorization: `Bearer ${workloadToken}` },
        JSON.stringify({ outcome: 'succeeded' }),
      );
      if ('error' in answer) throw new Error('complete answered 503');
    },
    close: () => agent.destroy(),
  };
}

function reasonOf({ error_reason: reason }: Record<string, unknown>): string {
  return typeof reason === 'string' ? reason : 'unknown';
}
