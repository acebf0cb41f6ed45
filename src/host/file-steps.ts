import {
  closeSync,
  linkSync,
  lstatSync,
  openSync,
  readlinkSync,
  readSync,
  renameSync,
  rmdirSync,
  symlinkSync,
  writeSync,
} from "node:fs";
import type { ObservedFile } from "../plan/state.ts";
import type { FileOperation } from "../plan/step.ts";
import { hintOfDisk } from "./disk-hint.ts";
import { removeFile, replaceByRename, syncFolder } from "./durable.ts";
import { HostError, messageOf } from "./errors.ts";
import { folderOf, unlessMissing } from "./files.ts";

/** Of a file that is copied or hashed at once: a binary of 100 MB is never in memory as a whole. */
const CHUNK_BYTES = 1 << 20;

/** What is at a path, links not followed; null when nothing is. */
export function observeFile(path: string): ObservedFile | null {
  const found = unlessMissing(() => lstatSync(path));
  if (found === null) return null;
  if (found.isSymbolicLink()) return { kind: "link", target: readlinkSync(path) };
  if (found.isDirectory()) return { kind: "folder" };
  return found.isFile() ? { kind: "file", bytes: found.size, mode: found.mode & 0o7777 } : { kind: "other" };
}

/** SHA-256 of a regular file's content, in hex. */
export function digestFile(path: string): string {
  const hash = new Bun.CryptoHasher("sha256");
  const file = openSync(path, "r");
  try {
    forEachChunk(file, (chunk) => {
      hash.update(chunk);
    });
  } finally {
    closeSync(file);
  }
  return hash.digest("hex");
}

/** SHA-256 of what is in memory, in hex. */
export function digestBytes(bytes: Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
}

function forEachChunk(file: number, use: (chunk: Uint8Array) => void): void {
  const buffer = new Uint8Array(CHUNK_BYTES);
  for (;;) {
    const bytes = readSync(file, buffer, 0, buffer.length, null);
    if (bytes === 0) return;
    use(buffer.subarray(0, bytes));
  }
}

/** Does it. Throws HostError with what the disk said and how to help it; then what was there is there still. */
export function changeFile(operation: FileOperation): void {
  const path = "path" in operation ? operation.path : operation.to;
  try {
    perform(operation);
  } catch (error) {
    throw new HostError(messageOf(error), hintOfDisk(error, path) ?? "run the command by hand to see more");
  }
}

function perform(operation: FileOperation): void {
  switch (operation.op) {
    case "file.install":
      install(operation.from, operation.to, operation.mode);
      break;
    case "file.launcher":
      replaceByRename(operation.to, operation.mode, (file) => writeWhole(file, operation.content));
      break;
    case "file.link":
      if (operation.kind === "symbolic") symlinkSync(operation.target, operation.path);
      else linkSync(operation.target, operation.path);
      syncFolder(folderOf(operation.path));
      break;
    case "file.rename":
      if (observeFile(operation.to) !== null) throw new ExistsError(operation.to);
      renameSync(operation.from, operation.to);
      syncFolder(folderOf(operation.to));
      break;
    case "file.remove":
      removeFile(operation.path);
      break;
    case "folder.remove":
      unlessMissing(() => rmdirSync(operation.path));
  }
}

/** As link(2) says it; rename(2) would replace what is there. */
class ExistsError extends Error {
  readonly code = "EEXIST";
  constructor(path: string) {
    super(`EEXIST: ${path} exists`);
  }
}

function install(from: string, to: string, mode: number): void {
  const source = openSync(from, "r");
  try {
    replaceByRename(to, mode, (file) => forEachChunk(source, (chunk) => writeWhole(file, chunk)));
  } finally {
    closeSync(source);
  }
}

function writeWhole(file: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
}
