import type { CatalogueProblem } from '../catalogue.ts';
import { clashes, complain, whereabouts } from '../declared.ts';
import type { Declared } from '../declared.ts';
import type { Declarations } from '../declarations.ts';
import type { Issuer } from '../issuer.ts';
import { isLoopback } from '../loopback.ts';
import type { FieldPath } from '../problem.ts';
import { isPlaceholder } from '../setting-references.ts';

/** The audience of an issuer's tokens: its own, or the default of its use. */
export function audienceOf(issuer: Issuer, publicUrl: string): string {
  const base = publicUrl.replace(/\/$/, '');
  return issuer.audience ?? (issuer.use === 'workload' ? publicUrl : `${base}/operators`);
}

/** What is wrong with issuers, alone and beside each other. */
export function issuerProblems(all: Declarations, publicUrl: string): CatalogueProblem[] {
  const issuers = [...all.issuers.entries.values()];
  return [
    ...issuers.flatMap(addressProblems),
    ...clashes(issuers, (issuer) => tokenKey(issuer, publicUrl), samePair),
    ...clashes(
      issuers,
      (issuer) => (issuer.kind === 'spiffe' ? issuer.trust_domain : undefined),
      sameTrustDomain,
    ),
  ];
}

function tokenKey(issuer: Issuer, publicUrl: string): string | undefined {
  if (issuer.kind !== 'oidc') return undefined;
  return JSON.stringify([issuer.issuer, audienceOf(issuer, publicUrl)]);
}

function samePair(issuer: Declared<Issuer>, earlier: Declared<Issuer>): CatalogueProblem {
  return complain(
    issuer,
    issuer.value.audience === undefined ? ['issuer'] : ['audience'],
    `has the same issuer and audience as "${earlier.value.name}" (${whereabouts(earlier)})`,
    'Give each use of an issuer its own audience.',
  );
}

function sameTrustDomain(issuer: Declared<Issuer>, earlier: Declared<Issuer>): CatalogueProblem {
  return complain(
    issuer,
    ['trust_domain'],
    `is the trust domain of "${earlier.value.name}" too (${whereabouts(earlier)})`,
    'Declare each trust domain once.',
  );
}

function addressProblems(entry: Declared<Issuer>): CatalogueProblem[] {
  const { value } = entry;
  const found: CatalogueProblem[] = [];
  const check = (path: FieldPath, address: string, plain: boolean) => {
    const complaint = urlComplaint(address, plain);
    if (complaint) found.push(complain(entry, path, ...complaint));
  };
  if (value.kind === 'oidc') check(['issuer'], value.issuer, true);
  if ('jwks_url' in value.keys) check(['keys', 'jwks_url'], value.keys.jwks_url, false);
  if ('bundle_url' in value.keys) check(['keys', 'bundle_url'], value.keys.bundle_url, false);
  return found;
}

/** `plain`: an issuer identifier has neither query nor fragment (OpenID Connect Discovery, 3). */
function urlComplaint(address: string, plain: boolean): [string, string] | undefined {
  if (isPlaceholder(address)) return undefined;
  if (!URL.canParse(address)) return ['is not a URL', 'Write it whole, with https://.'];
  const url = new URL(address);
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && isLoopback(url.hostname))) {
    return ['is not an https address', 'Use https; http is only for loopback.'];
  }
  if (url.username !== '' || url.password !== '') {
    return ['carries a user name or password', 'Write the address without them.'];
  }
  if (plain && (url.search !== '' || url.hash !== '')) {
    return ['has a query or a fragment', 'Write the issuer as its tokens have it in iss.'];
  }
  return undefined;
}
