/** A Node as JSON; only what the store itself reads is typed. */
export interface RawNode {
  readonly metadata: { readonly name: string; readonly [key: string]: unknown };
  readonly [key: string]: unknown;
}

interface StoreEvent {
  readonly version: number;
  readonly line: string;
}

/** One page of a list, or 410 when the token is too old. */
export type Page =
  | {
      readonly kind: "page";
      readonly version: number;
      readonly items: readonly RawNode[];
      readonly next: string | null;
    }
  | { readonly kind: "gone" };

/** The Nodes of an API server, with one counter of versions for all, and the history that watches are fed from. */
export function openStore() {
  const nodes = new Map<string, RawNode>();
  let version = 1;
  let compacted = 0;
  let history: StoreEvent[] = [];
  const listeners = new Set<(line: string) => void>();
  const pages = new Map<string, { readonly version: number; readonly items: readonly RawNode[] }>();

  const note = (type: string, node: RawNode): void => {
    const line = JSON.stringify({ type, object: node });
    history.push({ version, line });
    for (const listener of [...listeners]) listener(line);
  };

  const upsert = (node: RawNode): RawNode => {
    version++;
    const before = nodes.get(node.metadata.name);
    const stored: RawNode = {
      kind: "Node",
      apiVersion: "v1",
      ...node,
      metadata: {
        uid: `uid-${node.metadata.name}`,
        creationTimestamp: before?.metadata.creationTimestamp ?? "2026-01-01T00:00:00Z",
        ...node.metadata,
        resourceVersion: `${version}`,
      },
    };
    nodes.set(node.metadata.name, stored);
    note(before === undefined ? "ADDED" : "MODIFIED", stored);
    return stored;
  };

  return {
    upsert,
    remove: (name: string): void => {
      const node = nodes.get(name);
      if (node === undefined) return;
      version++;
      nodes.delete(name);
      note("DELETED", { ...node, metadata: { ...node.metadata, resourceVersion: `${version}` } });
    },
    get: (name: string) => nodes.get(name),
    all: (): RawNode[] => [...nodes.values()].sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1)),
    version: () => version,
    /** Lets the version run ahead, as changes of other objects do. */
    advance: (): void => {
      version++;
    },
    /** Forgets all history and all continue tokens: older versions are gone. */
    compact: (): void => {
      compacted = version;
      history = [];
      pages.clear();
    },
    page: (limit: number, token: string | null): Page => {
      const [id, from] =
        token === null ? [`${version}`, 0] : [token.split("/")[0] ?? "", Number(token.split("/")[1])];
      const all = token === null ? { version, items: [...nodes.values()].sort(byName) } : pages.get(id);
      if (all === undefined) return { kind: "gone" };
      pages.set(id, all);
      const end = limit > 0 ? from + limit : all.items.length;
      const items = all.items.slice(from, end);
      return {
        kind: "page",
        version: all.version,
        items,
        next: end < all.items.length ? `${id}/${end}` : null,
      };
    },
    /** What happened after a version; null when that is forgotten. */
    since: (from: number): string[] | null =>
      from < compacted ? null : history.filter((event) => event.version > from).map(({ line }) => line),
    listen: (listener: (line: string) => void): (() => void) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

const byName = (a: RawNode, b: RawNode) => (a.metadata.name < b.metadata.name ? -1 : 1);

/** The store behind a twin server. */
export type Store = ReturnType<typeof openStore>;
