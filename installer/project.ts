import { readFileSync } from "node:fs";
import type { Architecture } from "./debian.ts";

/** The checkout. */
export const ROOT = `${import.meta.dir}/..`;
/** What an image is made for. */
export const ARCHITECTURES: readonly Architecture[] = ["amd64", "arm64"];

/** Name and version of the project. */
export function readProject(): { readonly name: string; readonly version: string } {
  return JSON.parse(readFileSync(`${ROOT}/package.json`, "utf8"));
}

/** The image's name as the manifests have it: no registry, for one that was imported on each node. */
export function defaultReference(): string {
  const { name, version } = readProject();
  return `localhost/${name}:${version}`;
}

/** The image's name, by IMAGE of the environment when it is given. */
export function imageReference(): string {
  return process.env.IMAGE || defaultReference();
}

/**
 * When the release was made, RFC 3339: SOURCE_DATE_EPOCH (seconds since 1970, reproducible-builds.org) when it is given,
 * else the time of the last commit; without git 1970. Never now, so that the same sources make the same bytes.
 */
export function createdTime(): string {
  const given = process.env.SOURCE_DATE_EPOCH;
  if (given) return new Date(Number(given) * 1000).toISOString();
  const git = Bun.spawnSync({ cmd: ["git", "-C", ROOT, "log", "-1", "--format=%ct"], stderr: "ignore" });
  return new Date(git.exitCode === 0 ? Number(git.stdout.toString()) * 1000 : 0).toISOString();
}
