import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { must } from "../kernel/sandbox.ts";
import { ARCHITECTURE } from "./image.ts";

const FOLDER = `${import.meta.dir}/../../dist/image`;
const LAYER = "application/vnd.oci.image.layer.v1.tar";
/** Where the binary lies in the image. */
const BINARY = "usr/local/bin/minicni";
/** A byte of the ELF header that nobody reads: the last of the padding of e_ident (elf.h, EI_PAD). */
const PADDING = 15;

/** The image of {@link makeChangedImage}. */
export const CHANGED_IMAGE = "localhost/minicni:changed";

/** The archive of `make image-host`. */
export const ARCHIVE = process.env.MINICNI_IMAGE ?? `${FOLDER}/minicni-${ARCHITECTURE}.tar`;

/** Why there is no image; null when there is. */
export function imageFault(): string | null {
  return existsSync(ARCHIVE) ? null : `${ARCHIVE} is missing: run 'make image-host'`;
}

/**
 * Makes the image of another version in `folder`: the same with one more layer, in which the binary differs by a byte.
 * `binary` is the present one. The archive, whose path is returned, has only what is new: it is for nodes with the other.
 */
export function makeChangedImage(folder: string, binary: string): string {
  const layout = `${folder}/layout`;
  const changed = `${folder}/changed`;
  mkdirSync(layout, { recursive: true });
  mkdirSync(`${changed}/${BINARY}`.replace(/\/[^/]+$/, ""), { recursive: true });
  const bytes = readFileSync(binary);
  bytes[PADDING] = 1;
  writeFileSync(`${changed}/${BINARY}`, bytes, { mode: 0o755 });
  must("tar", "-xf", ARCHIVE, "-C", layout);
  must("tar", "--owner=0", "--group=0", "-cf", `${folder}/layer.tar`, "-C", changed, BINARY);

  const blobs: string[] = [];
  const store = (content: Buffer | string) => {
    const hex = createHash("sha256").update(content).digest("hex");
    writeFileSync(`${layout}/blobs/sha256/${hex}`, content);
    blobs.push(`blobs/sha256/${hex}`);
    return { digest: `sha256:${hex}`, size: Buffer.byteLength(content) };
  };
  const load = (digest: string) =>
    JSON.parse(readFileSync(`${layout}/blobs/${digest.replace(":", "/")}`, "utf8"));
  const layer = store(readFileSync(`${folder}/layer.tar`));
  const index = JSON.parse(readFileSync(`${layout}/index.json`, "utf8"));
  const manifest = load(index.manifests[0].digest);
  const config = load(manifest.config.digest);
  config.rootfs.diff_ids.push(layer.digest);
  delete config.history; // it would have to tell of the layer
  Object.assign(manifest.config, store(JSON.stringify(config)));
  manifest.layers.push({ mediaType: LAYER, ...layer });
  Object.assign(index.manifests[0], store(JSON.stringify(manifest)));
  index.manifests[0].annotations = { "io.containerd.image.name": CHANGED_IMAGE };
  writeFileSync(`${layout}/index.json`, JSON.stringify(index));
  must("tar", "-cf", `${folder}/changed.tar`, "-C", layout, "oci-layout", "index.json", ...blobs);
  return `${folder}/changed.tar`;
}
