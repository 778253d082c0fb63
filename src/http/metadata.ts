import { succeed } from '../foundation/result.ts';
import type { Endpoint } from './endpoint.ts';
import type { HttpParts } from './parts.ts';
import { TOKEN_EXCHANGE } from './read-exchange.ts';

/**
 * Authorization server metadata (RFC 8414). Lists without an element are left out (3.2), except
 * `response_types_supported`, which is required although there is no authorization endpoint.
 */
export function metadataEndpoint({ broker, publicUrl }: HttpParts): Endpoint {
  return () => {
    const base = publicUrl.replace(/\/$/, '');
    const scopes = broker.describe().agentScopes;
    return Promise.resolve(
      succeed({
        status: 200,
        body: {
          issuer: publicUrl,
          token_endpoint: `${base}/exchange`,
          revocation_endpoint: `${base}/revoke`,
          response_types_supported: [],
          grant_types_supported: [TOKEN_EXCHANGE],
          ...(scopes.length === 0 ? {} : { scopes_supported: scopes }),
          token_endpoint_auth_methods_supported: ['none'],
          // draft-ietf-oauth-spiffe-client-auth; a workload token as Bearer is our own addition.
          revocation_endpoint_auth_methods_supported: ['spiffe_jwt'],
          authorization_details_types_supported: ['agent_task'],
        },
      }),
    );
  };
}

/**
 * Where metadata is looked for: RFC 8414 inserts the well-known part before the issuer's path,
 * OpenID Connect appends it; a proxy may cut the path off before it comes to us.
 */
export function metadataPaths(publicUrl: string): string[] {
  const path = new URL(publicUrl).pathname.replace(/\/$/, '');
  return [
    ...new Set([
      '/.well-known/oauth-authorization-server',
      `/.well-known/oauth-authorization-server${path}`,
      '/.well-known/openid-configuration',
      `${path}/.well-known/openid-configuration`,
    ]),
  ];
}
