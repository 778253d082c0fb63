/** What one connection and one request may cost. docs/limits.md lists these; a test compares. */
export const SERVER_BOUNDS = {
  /** Bytes of all headers: a bearer token of 16 KiB and as much again. */
  headerBytes: 32 * 1024,
  /** Header fields; more are cut off by Node and the request then lacks them. */
  headerCount: 64,
  /** Milliseconds until all headers have arrived. */
  headersTimeoutMs: 10_000,
  /** Milliseconds until the whole request has arrived; above the body's own deadline. */
  requestTimeoutMs: 30_000,
  /** Milliseconds between two looks for requests past the two bounds above. */
  timeoutCheckMs: 1_000,
  /** Milliseconds an idle connection is kept: above the 60 s of common load balancers. */
  keepAliveMs: 65_000,
  /** Milliseconds without a byte in either direction: above the longest wait of a call. */
  silentSocketMs: 120_000,
  /** Connections at a time; further ones are dropped at once. */
  connections: 4_000,
  /** Milliseconds between two lines of the log about these: a flood drops thousands a second. */
  dropsLoggedEveryMs: 60_000,
  /** Milliseconds that a readiness check may take before it is answered with no. */
  readinessMs: 5_000,
} as const;

/** What a request may bring. */
export const REQUEST_BOUNDS = {
  /** Bytes of a form: two tokens of 16 KiB, details of 8 KiB, all percent-encoded. */
  formBytes: 64 * 1024,
  /** Bytes of a JSON body. */
  jsonBytes: 16 * 1024,
  /** Milliseconds from the end of the headers until the whole body has arrived. */
  bodyMs: 10_000,
  /** Bytes above the bound that are read and thrown away, so that the answer can be read. */
  discardBytes: 1024 * 1024,
  /** Parameters of a form or of a query. */
  parameters: 64,
  /** Seconds of life that an exchange may ask for: a day. */
  ttlSeconds: 86_400,
  /** Values of `resource` and `audience` together. */
  targets: 8,
  /** Characters of an operator's reason and of an agent's note. */
  proseCharacters: 500,
  /** Characters of an Idempotency-Key. */
  keyCharacters: 255,
  /** Characters of a cursor. */
  cursorCharacters: 512,
  /** Entries of a page unless asked otherwise, and at most. */
  pageDefault: 50,
  pageMax: 200,
  /** Seconds that a caller waits for deaths unless `Prefer: wait=N` says otherwise, and at most. */
  waitSeconds: 10,
  waitSecondsMax: 60,
  /** Characters of an incoming X-Request-Id. */
  requestIdCharacters: 64,
} as const;
