/** Something that happens at an instant of virtual time. */
export type Event = { readonly atMs: number; readonly order: number; run: (() => void) | null };

/** Instant 0 of virtual time, as clocks show it. */
export const EPOCH_MS = Date.UTC(2026, 0, 1);

/**
 * Virtual time: a queue of events, run one after the other, each with all the promise continuations
 * that it sets off before the next one. No timer runs, so a run depends on nothing but its seed.
 */
export class VirtualTime {
  nowMs = 0;
  /** Events that were run. */
  steps = 0;
  readonly #heap: Event[] = [];
  #order = 0;

  at(atMs: number, run: () => void): Event {
    const event = { atMs: Math.max(atMs, this.nowMs), order: this.#order++, run };
    this.#push(event);
    return event;
  }

  after(ms: number, run: () => void): Event {
    return this.at(this.nowMs + ms, run);
  }

  cancel(event: Event): void {
    event.run = null;
  }

  /** Runs events until that instant, or until `stop` says so after one of them. */
  async runUntil(untilMs: number, stop: () => boolean): Promise<void> {
    for (;;) {
      const next = this.#heap[0];
      if (next === undefined || next.atMs > untilMs) break;
      this.#pop();
      if (next.run === null) continue;
      this.nowMs = next.atMs;
      this.steps++;
      next.run();
      await continuationsRun();
      if (stop()) return;
    }
    this.nowMs = Math.max(this.nowMs, untilMs);
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || !isBefore(event, above)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      const [left, right] = [heap[child], heap[child + 1]];
      if (left === undefined) break;
      if (right !== undefined && isBefore(right, left)) child++;
      const least = heap[child];
      if (least === undefined || !isBefore(least, last)) break;
      heap[at] = least;
      at = child;
    }
    heap[at] = last;
  }
}

function isBefore(one: Event, other: Event): boolean {
  return one.atMs < other.atMs || (one.atMs === other.atMs && one.order < other.order);
}

/** Promise continuations all run before an immediate does. */
function continuationsRun(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
