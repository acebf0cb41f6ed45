import { closeSync, constants, openSync } from "node:fs";
import { HOST, type NetnsPath } from "../plan/step.ts";
import { HostError } from "./errors.ts";
import { libc } from "./libc.ts";

/** CLONE_NEWNET of include/uapi/linux/sched.h. */
const CLONE_NEWNET = 0x40000000;
/** _IO(0xb7, 3) of include/uapi/linux/nsfs.h: answers with the CLONE_ flag of a namespace file. */
const NS_GET_NSTYPE = 0xb703;
/** Without O_NONBLOCK a FIFO at the path would hold us until somebody writes to it. */
const OPEN_FLAGS = constants.O_RDONLY | constants.O_NONBLOCK;

/**
 * Opens the namespace at a path; whoever calls closes the descriptor. Throws HostError, or what the disk says. A call
 * that another process made for us brings the namespace of its sandbox along, whose path may mean nothing here.
 */
export type OpenNetns = (path: NetnsPath) => number;

/** By the path itself. */
export const openNetns: OpenNetns = (path) => openSync(path, OPEN_FLAGS);

/** A second descriptor of an open namespace; whoever calls closes it. */
export function duplicateDescriptor(fd: number): number {
  return openSync(`/proc/self/fd/${fd}`, OPEN_FLAGS);
}

/** Whether the file at `path` is a network namespace (not one of another kind, nor any other file). */
export function isNetns(path: NetnsPath, open: OpenNetns = openNetns): boolean {
  const file = open(path);
  try {
    return libc().ioctl(file, NS_GET_NSTYPE, null) === CLONE_NEWNET;
  } finally {
    closeSync(file);
  }
}

/**
 * Runs `work` with this thread in the namespace at `path` and always comes back. Children spawned by `work` are born
 * there, which saves the exec of nsenter. Threads other than ours stay where they are (setns(2) is per thread).
 * Throws HostError when the path is not a network namespace; ends the process if the way back is barred, since
 * going on in a foreign namespace could touch a pod's network as if it were the host's.
 */
export function inNetns<T>(path: NetnsPath, work: () => T, open: OpenNetns = openNetns): T {
  if (path === HOST) return work();
  const home = openSync("/proc/thread-self/ns/net", "r");
  try {
    enter(path, open);
    try {
      return work();
    } finally {
      if (libc().setns(home, CLONE_NEWNET) !== 0) process.exit(70);
    }
  } finally {
    closeSync(home);
  }
}

/** As {@link OpenNetns}, with every fault as a HostError that names the path. */
export function openOrTell(path: NetnsPath, open: OpenNetns): number {
  try {
    return open(path);
  } catch (error) {
    throw new HostError(
      `can't open the network namespace ${path}: ${String(error)}`,
      "is the sandbox still there?",
    );
  }
}

function enter(path: NetnsPath, open: OpenNetns): void {
  const target = openOrTell(path, open);
  try {
    if (libc().setns(target, CLONE_NEWNET) !== 0) {
      throw new HostError(
        `can't enter ${path}: it is not a network namespace, or CAP_SYS_ADMIN is missing`,
        "run as root, and pass the path of a network namespace",
      );
    }
  } finally {
    closeSync(target);
  }
}
