import type { ObservedShaping } from "../../src/plan/state.ts";
import type { Operation } from "../../src/plan/step.ts";

/** Of a link that nobody has shaped. */
const UNSHAPED: ObservedShaping = { bucket: null, redirectedTo: null };
const IS_TAKEN = "Error: Exclusivity flag on, cannot modify";

/** Operations of traffic control. */
export type TrafficOperation = Extract<Operation, { op: "qdisc.tbf" | "qdisc.ingress" | "filter.redirect" }>;

/** What shapes the traffic of links, by their index. */
export class FakeShaping {
  readonly #shaped = new Map<number, ObservedShaping>();
  readonly #ingresses = new Set<number>();

  of(index: number): ObservedShaping {
    return this.#shaped.get(index) ?? UNSHAPED;
  }

  /** Changes it behind anybody's back. */
  set(index: number, known: Partial<ObservedShaping>): void {
    this.#shaped.set(index, { ...this.of(index), ...known });
  }

  /** All of it goes with its link. */
  delete(index: number): void {
    this.#shaped.delete(index);
    this.#ingresses.delete(index);
  }

  /** Does one operation on a link; `target`: the index of the one that `to` names. Returns what the kernel says against it. */
  apply(index: number, operation: TrafficOperation, target: number | undefined): string | null {
    switch (operation.op) {
      case "qdisc.tbf": {
        if (this.of(index).bucket !== null) return IS_TAKEN;
        const { rate, burst, limit } = operation;
        this.set(index, { bucket: { rate, burst, limit } });
        return null;
      }
      case "qdisc.ingress":
        if (this.#ingresses.has(index)) return IS_TAKEN;
        this.#ingresses.add(index);
        return null;
      case "filter.redirect":
        if (target === undefined) return `Cannot find device "${operation.to}"`;
        if (!this.#ingresses.has(index)) return "Error: Parent Qdisc doesn't exists";
        this.set(index, { redirectedTo: target });
        return null;
    }
  }
}
