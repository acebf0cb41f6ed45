import type { Address } from "../net/address.ts";
import type { ObservedAddress, ObservedLink } from "../plan/state.ts";
import type { NetnsPath, Plan } from "../plan/step.ts";
import type { Deadline } from "./deadline.ts";

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

/** The machine, as a recipe sees it: an object of functions, so that a test can hand in a fake one. */
export interface Host {
  /** The time this call may take. */
  readonly deadline: Deadline;
  /** Runs a child to its end. Never throws for a non-zero exit; throws HostError when it can't be started. */
  spawn(request: SpawnRequest): Promise<Finished>;
  /** Runs a plan; on failure takes back what was done and throws an ExecuteError. */
  execute(plan: Plan): Promise<void>;
  /** A link of our own namespace by name; null when there is none. */
  link(name: string): ObservedLink | null;
  /** All links of our own namespace. */
  links(): ObservedLink[];
  /** The addresses of one link of our own namespace. */
  addresses(index: number): ObservedAddress[];
  /** MTU of the link that traffic to this address leaves by; null when there is no route. */
  routeMtu(towards: Address): number | null;
  /** Forgets the tracked connections of these addresses; returns how many (none where nothing is tracked). */
  flushConnections(addresses: readonly Address[]): number;
  /** How many connections our own namespace tracks. */
  trackedConnections(): number;
  /** Whether there is a regular file (a symbolic link to one counts). */
  isFile(path: string): boolean;
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
  /** Runs `work` while this process alone holds the lock file; throws BusyError after `timeoutMs`. */
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
  /** One line on stderr. */
  log(line: string): void;
}
