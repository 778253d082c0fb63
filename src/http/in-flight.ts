/** The calls that are being answered, so that a stop can wait for them. */
export type InFlight = {
  /** `work` must not reject. */
  track(work: Promise<void>): void;
  /** From now on every answer asks its caller to close the connection. */
  drain(): void;
  draining(): boolean;
  /** Resolves once no call is left. */
  idle(): Promise<void>;
};

export function createInFlight(): InFlight {
  const calls = new Set<Promise<void>>();
  let draining = false;
  return {
    track(work) {
      const call = work.finally(() => calls.delete(call));
      calls.add(call);
    },
    drain() {
      draining = true;
    },
    draining: () => draining,
    async idle() {
      while (calls.size > 0) await Promise.all(calls);
    },
  };
}
