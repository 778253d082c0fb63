import type { Command } from 'commander';
import { z } from 'zod';
import { askOperatorApi, withOperatorOptions } from './operator-api.ts';
import type { OperatorOptions } from './operator-api.ts';
import { print, table } from './print.ts';

const EXAMPLES = `
Shows every agent that the catalogue declares or the ledger has seen.

Examples:
  $ mayfly agents --token-file operator.token
  $ mayfly agents --json

Exit status: 0 shown, 1 the broker refused, 2 no usable token, 3 no broker answers.`;

export function registerAgents(program: Command): void {
  const command = program
    .command('agents')
    .description('show agents: whose they are, how many leases they have, which are quarantined')
    .option('--json', 'the answer as JSON, for programs')
    .addHelpText('after', EXAMPLES)
    .action((options: OperatorOptions & { readonly json?: true }) => agents(options));
  withOperatorOptions(command);
}

const AgentList = z.looseObject({
  agents: z.array(
    z.looseObject({
      id: z.string(),
      registered: z.boolean(),
      owner: z.string().nullable(),
      ends: z.string().nullable(),
      state: z.string(),
      live_leases: z.looseObject({
        minting: z.number(),
        active: z.number(),
        revoking: z.number(),
      }),
      quarantine: z.looseObject({ reason: z.string() }).nullable(),
    }),
  ),
});

async function agents(options: OperatorOptions & { readonly json?: true }): Promise<void> {
  const answer = await askOperatorApi(options, '/v1/agents');
  if (options.json) {
    print(JSON.stringify(answer, null, 2));
    return;
  }
  const rows = AgentList.parse(answer).agents.map((agent) => [
    agent.id,
    agent.registered ? agent.state : `${agent.state}, not in the catalogue`,
    agent.owner ?? '',
    agent.ends ?? '',
    String(agent.live_leases.minting + agent.live_leases.active),
    String(agent.live_leases.revoking),
    agent.quarantine?.reason ?? '',
  ]);
  print(table([['AGENT', 'STATE', 'OWNER', 'ENDS', 'LIVE', 'DYING', 'QUARANTINED FOR'], ...rows]));
}
