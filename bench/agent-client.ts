import { Agent, request } from 'node:http';

/** An agent over keep-alive HTTP, as lean as the raw contestants' calls. */
export type AgentClient = {
  exchange(identifier: string): Promise<{ readonly taskId: string; readonly username: string }>;
  /** Resolves with the answer, which must be 200. */
  complete(taskId: string): Promise<void>;
  close(): void;
};

export function agentClient(broker: string, workloadToken: string): AgentClient {
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
            if (answer.statusCode === 200) resolve(JSON.parse(text) as Record<string, unknown>);
            else reject(new Error(`${path} answered ${answer.statusCode}: ${text}`));
          });
        },
      );
      outgoing.on('error', reject);
      outgoing.end(body);
    });
  return {
    async exchange(identifier) {
      const form = new URLSearchParams({
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        subject_token: workloadToken,
        subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
        scope: 'orders-read',
        ttl: '300',
        authorization_details: JSON.stringify([
          { type: 'agent_task', task_type: 'reconcile-invoice', identifier },
        ]),
      });
      const answer = await send(
        '/exchange',
        { 'content-type': 'application/x-www-form-urlencoded' },
        form.toString(),
      );
      const { username } = answer['credential'] as { username: string };
      return { taskId: String(answer['task_id']), username };
    },
    async complete(taskId) {
      await send(
        `/v1/tasks/${taskId}/complete`,
        { 'content-type': 'application/json', authorization: `Bearer ${workloadToken}` },
        JSON.stringify({ outcome: 'succeeded' }),
      );
    },
    close: () => agent.destroy(),
  };
}
