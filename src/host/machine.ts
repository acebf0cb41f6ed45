import type { Address } from "../net/address.ts";
import type { RouteTable } from "../plan/route-table.ts";
import type {
  ObservedAddress,
  ObservedFdb,
  ObservedFile,
  ObservedLink,
  ObservedNeighbour,
  ObservedShaping,
  RouteLookup,
} from "../plan/state.ts";
import type { NetnsPath, Plan, Step } from "../plan/step.ts";
import type { Deadline } from "./deadline.ts";
import type { ExecutorChoice } from "./engine.ts";
import type { PortTarget } from "./port-flows.ts";

/** What a finished child left; `stdout` and `stderr` read to the end. */
export interface Finished {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly timedOut: boolean;
}

/** How a child is run; `argv[0]` is looked up in PATH, no shell is involved. */
export interface SpawnRequest {
  readonly argv: readonly string[];
  readonly stdin?: string;
  /** The child starts in this network namespace. */
  readonly netns?: NetnsPath;
  /** Replaces the environment but for PATH and LC_ALL=C. */
  readonly env?: Readonly<Record<string, string>>;
  /** After this many milliseconds the child is killed; default 30,000. */
  readonly timeoutMs?: number;
}

/** A step that failed while those around it were run. */
export interface StepFailure {
  readonly step: Step;
  /** As it could be pasted; only the operation's name where that is not possible. */
  readonly command: string;
  /** What the tool or the kernel said, in one line. */
  readonly message: string;
}

/** Something in the kernel's network state of our namespace changed: a reason to look, never a fact to build on. */
export interface KernelHint {
  readonly kind: "link" | "address" | "route" | "rule";
  readonly isDelete: boolean;
  /** The link it is about; null where none is named (a rule, a blackhole route). */
  readonly dev: string | null;
  /** The line as `ip monitor` printed it. */
  readonly text: string;
}

/** The machine, as a recipe sees it: an object of functions, so that a test can hand in a fake one. */
export interface Host {
  /** The time this call may take. */
  readonly deadline: Deadline;
  /** Runs a child to its end. Never throws for a non-zero exit; throws HostError when it can't be started. */
  spawn(request: SpawnRequest): Promise<Finished>;
  /** From now on plans are run by this executor; before, by `auto`. */
  useExecutor(choice: ExecutorChoice): void;
  /** Runs a plan; on failure takes back what was done and throws an ExecuteError. */
  execute(plan: Plan): Promise<void>;
  /**
   * Runs every step although others fail, each once, in order; nothing is taken back. Returns the failures. Throws
   * only OverdueError.
   */
  executeEach(plan: Plan): Promise<StepFailure[]>;
  /** A link of our own namespace by name; null when there is none. */
  link(name: string): ObservedLink | null;
  /** All links of our own namespace. */
  links(): ObservedLink[];
  /** The addresses of one link of our own namespace. */
  addresses(index: number): ObservedAddress[];
  /** MTU of the link that traffic to this address leaves by; null when there is no route. */
  routeMtu(towards: Address): number | null;
  /**
   * All routes of the main table of both families of our own namespace, multipath and blackhole ones included. Throws
   * BusyError when a dump is interrupted again and again: nothing may be concluded from it.
   */
  routeTable(): RouteTable;
  /** What the kernel would do with a packet to each address; null: unreachable. One socket for all. */
  lookupRoutes(towards: readonly Address[]): (RouteLookup | null)[];
  /** Permanent forwarding entries of a VXLAN device that have a remote address. */
  forwarding(index: number): ObservedFdb[];
  /** Neighbour entries of a link, both families. */
  neighbours(index: number): ObservedNeighbour[];
  /** What shapes the traffic of a link of our own namespace. */
  shaping(index: number): ObservedShaping;
  /** Whether the link leaves checksums to hardware (tx-checksum-ip-generic); null when it can't be known. */
  txChecksum(name: string): boolean | null;
  /**
   * Calls back for each change of links, addresses, routes and policy rules of our namespace, until closed. `onEnd`:
   * nothing more will come, and why; not called once closed.
   */
  watchKernel(onHint: (hint: KernelHint) => void, onEnd: (why: string) => void): { close(): void };
  /** Forgets the tracked connections of these addresses; returns how many (none where nothing is tracked). */
  flushConnections(addresses: readonly Address[]): number;
  /**
   * Forgets the tracked connections to these ports of the node that lead elsewhere than told; returns how many. `own`:
   * the node's addresses.
   */
  flushPortFlows(targets: readonly PortTarget[], own: readonly Address[]): number;
  /** All addresses of our own namespace's links, both families. */
  ownAddresses(): Address[];
  /**
   * What changes with every change of the rules that a program (`iptables`, `nft`) keeps in our namespace, and with nothing
   * that only reads them; null where that can't be known (the older x_tables).
   */
  rulesGeneration(program: string): string | null;
  /** How many connections our own namespace tracks. */
  trackedConnections(): number;
  /** Whether there is a regular file (a symbolic link to one counts). */
  isFile(path: string): boolean;
  /** What is at a path; null when nothing is. Throws what the disk says when that can't be known (EACCES). */
  observeFile(path: string): ObservedFile | null;
  /** Whether another file system begins at a folder; false when it is not there. */
  isMountPoint(path: string): boolean;
  /** SHA-256 of a regular file's content, in hex. Throws what the disk says. */
  digestFile(path: string): string;
  /** Where a program is on our PATH; null when it is not. */
  findProgram(name: string): string | null;
  /** Writes and removes a file in a folder; throws what the disk says when that is not possible. */
  probeFolder(path: string): void;
  /** Text of a regular file; null when there is none. */
  readFile(path: string): string | null;
  /** Replaces a file whole: temp file in the same folder, rename. Makes missing folders (0700). */
  writeFile(path: string, text: string): void;
  /** Removes a file; no error when it is not there. */
  removeFile(path: string): void;
  /** Names in a folder; empty when it does not exist. */
  listFolder(path: string): string[];
  /** Runs `work` while this process alone holds the lock file, or a folder itself; throws BusyError after `timeoutMs`. */
  withLock<T>(path: string, timeoutMs: number, work: () => T | Promise<T>): Promise<T>;
  /**
   * Runs `work` while no other process holds this attachment's place in the lock file; null: every place. Optional:
   * goes on without where the file can't be made (EROFS, ENOSPC, EACCES).
   */
  withAttachmentLock<T>(
    path: string,
    key: string | null,
    work: () => T | Promise<T>,
    options?: { readonly isOptional: boolean },
  ): Promise<T>;
  /** Device and inode of a namespace file (nsfs); null when there is none that can be looked at. */
  namespaceId(path: string): string | null;
  /** Whether the file is a network namespace; false when it does not exist. */
  isNetns(path: string): boolean;
  /** Kernel boot ID, a UUID. */
  bootId(): string;
  sleep(milliseconds: number): Promise<void>;
  /**
   * Leaves work that nobody waits for until it is quiet; a later one of the same name takes its place. Absent: there is no
   * later.
   */
  defer?(name: string, work: (host: Host) => Promise<void>): void;
  /** One line on stderr. */
  log(line: string): void;
}
