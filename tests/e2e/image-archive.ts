import { createHash } from "node:crypto";
import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { must } from "../kernel/sandbox.ts";

interface Descriptor {
  readonly digest: string;
  readonly size: number;
  readonly annotations?: Readonly<Record<string, string>>;
}
interface Manifest {
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}
interface Config {
  readonly architecture: string;
  readonly config: { readonly Entrypoint: readonly string[]; readonly User?: string };
  readonly rootfs: { readonly diff_ids: readonly string[] };
}

/** An archive unpacked: its blobs, each with the digest that it is called, and the root file system. */
export class Image {
  readonly root: string;
  readonly reference: string;
  readonly config: Config;
  readonly #layout: string;

  /** Unpacks an archive into a folder, which need not be there. */
  constructor(archive: string, folder: string) {
    this.#layout = `${folder}/layout`;
    this.root = `${folder}/rootfs`;
    mkdirSync(this.#layout, { recursive: true });
    mkdirSync(this.root);
    must("tar", "-xf", archive, "-C", this.#layout);
    const { manifests }: { manifests: readonly Descriptor[] } = JSON.parse(
      readFileSync(`${this.#layout}/index.json`, "utf8"),
    );
    const [entry] = manifests;
    if (entry === undefined) throw new Error("the archive names no image");
    this.reference = entry.annotations?.["io.containerd.image.name"] ?? "";
    const manifest: Manifest = JSON.parse(this.#blob(entry).toString());
    this.config = JSON.parse(this.#blob(manifest.config).toString());
    for (const [index, layer] of manifest.layers.entries()) {
      const tar = Bun.zstdDecompressSync(this.#blob(layer));
      const wanted = this.config.rootfs.diff_ids[index];
      if (digestOf(tar) !== wanted) throw new Error(`layer ${index} is not ${wanted}`);
      writeFileSync(`${folder}/layer.tar`, tar);
      must("tar", "--numeric-owner", "-xpf", `${folder}/layer.tar`, "-C", this.root);
    }
  }

  #blob({ digest, size }: Descriptor): Buffer {
    const bytes = readFileSync(`${this.#layout}/blobs/${digest.replace(":", "/")}`);
    if (digestOf(bytes) !== digest || bytes.length !== size)
      throw new Error(`not what it is called: ${digest}`);
    return bytes;
  }
}

function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** Paths of all that lies in a folder and is no folder, without a slash in front. */
export function filesOf(root: string, below = ""): string[] {
  return readdirSync(`${root}/${below}`, { withFileTypes: true }).flatMap((entry) => {
    const path = `${below}${entry.name}`;
    return entry.isDirectory() ? filesOf(root, `${path}/`) : [path];
  });
}

/** One line for each file: what it is, its mode, and its content or target. */
export function listing(root: string): string[] {
  return filesOf(root)
    .sort()
    .map((path) => {
      const status = lstatSync(`${root}/${path}`);
      if (status.isSymbolicLink()) return `${path} -> ${readlinkSync(`${root}/${path}`)}`;
      const digest = digestOf(readFileSync(`${root}/${path}`));
      return `${path} ${(status.mode & 0o7777).toString(8)} ${status.uid}:${status.gid} ${digest}`;
    });
}
