/** What a task or scope touches. Absent data types are not restricted. */
export type Reach = {
  readonly actions: readonly string[];
  readonly locations: readonly string[];
  readonly datatypes?: readonly string[] | undefined;
};

/** The first dimension in which `inner` is wider than `outer`, with the entry that is outside. */
export type Excess = {
  readonly dimension: 'actions' | 'locations' | 'datatypes';
  readonly entry: string;
};

/**
 * Says whether `inner` lies within `outer` (invariant I10: scope within task within task type).
 * Actions and data types by equality; a location equals or lies below one of the outer locations,
 * by path segment and on the same origin, spelt as URLs are written out (RFC 3986 6.2.2 and 6.2.3).
 * What cannot be compared is outside.
 */
export function excess(inner: Reach, outer: Reach): Excess | undefined {
  const action = inner.actions.find((entry) => !outer.actions.includes(entry));
  if (action !== undefined) return { dimension: 'actions', entry: action };
  const location = inner.locations.find(
    (entry) => !outer.locations.some((wide) => liesWithin(entry, wide)),
  );
  if (location !== undefined) return { dimension: 'locations', entry: location };
  const allowed = outer.datatypes;
  if (allowed === undefined) return undefined;
  if (inner.datatypes === undefined) return { dimension: 'datatypes', entry: '(any)' };
  const datatype = inner.datatypes.find((entry) => !allowed.includes(entry));
  return datatype === undefined ? undefined : { dimension: 'datatypes', entry: datatype };
}

function liesWithin(inner: string, outer: string): boolean {
  if (inner === outer) return true;
  const a = asUrl(inner);
  const b = asUrl(outer);
  if (!a || !b || a.protocol !== b.protocol || a.host !== b.host) return false;
  // Policies compare the text: another spelling of a location must not slip past a forbid.
  if (!isSpeltOut(inner, a)) return false;
  // Queries, fragments and user names have no order by inclusion: only equality holds for them.
  if (hasMore(a) || hasMore(b)) return false;
  const wide = b.pathname.endsWith('/') ? b.pathname : `${b.pathname}/`;
  return a.pathname === b.pathname || a.pathname.startsWith(wide);
}

/** As its parser writes it: lower-case scheme and host, no port that the scheme has anyway. */
function isSpeltOut(text: string, url: URL): boolean {
  return url.href === text || url.href === `${text}/`;
}

function hasMore(url: URL): boolean {
  return url.search !== '' || url.hash !== '' || url.username !== '' || url.password !== '';
}

/** Dot segments and escapes would make the text and its meaning differ: not comparable. */
function asUrl(text: string): URL | undefined {
  if (/%|\\|\/\.{1,2}(\/|$)/.test(text) || !URL.canParse(text)) return undefined;
  return new URL(text);
}
