/**
 * A runtime as far as the doctor sees one: watches a folder as containerd does, may see it replaced, then runs what stands
 * behind `--` and ends with its exit code. By a link it has the name of a runtime.
 */
import { mkdirSync, renameSync, rmSync, watch } from "node:fs";

const words = process.argv.slice(2);
const option = (name: string) => words[words.indexOf(name) + 1] ?? "";
const folder = option("--watch");
const watcher = watch(folder, () => undefined);
if (option("--replace") === "moved") renameSync(folder, `${folder}.old`);
if (option("--replace") === "removed") rmSync(folder, { recursive: true });
mkdirSync(folder, { recursive: true });
const child = Bun.spawnSync({
  cmd: words.slice(words.indexOf("--") + 1),
  stdio: ["ignore", "inherit", "inherit"],
});
watcher.close();
process.exit(child.exitCode);
