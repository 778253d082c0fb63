/** The calls that are being answered, so that a stop can wait for them. */
export type InFlight = {
  /** `work` must not reject. */
  track(work: Promise<void>): void;
  /** Resolves once none is left. */
  idle(): Promise<void>;
};

export function createInFlight(): InFlight {
  const calls = new Set<Promise<void>>();
  return {
    track(work) {
      const call = work.finally(() => calls.delete(call));
      calls.add(call);
    },
    async idle() {
      while (calls.size > 0) await Promise.all(calls);
    },
  };
}
