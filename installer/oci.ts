import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type Architecture, run } from "./debian.ts";

/** OCI image-spec, descriptor.md. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly platform?: { readonly architecture: Architecture; readonly os: "linux" };
  readonly annotations?: Readonly<Record<string, string>>;
}

/** A folder whose content becomes one layer, and where that lies in the image. */
export interface LayerSource {
  readonly folder: string;
  readonly paths: readonly string[];
}

/** What the Dockerfile says of the image. */
export interface ImageSettings {
  readonly entrypoint: readonly string[];
  readonly environment: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
}

const OCI = "application/vnd.oci.image";
/**
 * Higher levels save 1 % (12) to 9 % (19) and cost three to thirty times as long. gzip is 14 % larger, and slower to
 * unpack. Read by containerd since 1.5, CRI-O and Podman, Docker since 23.
 */
const ZSTD_LEVEL = 9;
/** Seconds since 1970 of every file: a layer depends on what is in it alone, so nodes keep one that did not change. */
const FILE_TIME = 0;

/** An OCI layout (image-layout.md) in a folder, filled blob by blob. */
export class Layout {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(`${folder}/blobs/sha256`, { recursive: true });
    writeFileSync(`${folder}/oci-layout`, JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  }

  /** One image of these layers, first at the bottom; `created` is an RFC 3339 time. */
  addImage(
    architecture: Architecture,
    layers: readonly LayerSource[],
    settings: ImageSettings,
    created: string,
  ): Descriptor {
    const packed = layers.map((source) => this.#addLayer(source));
    const config = this.#addJson(`${OCI}.config.v1+json`, {
      created,
      architecture,
      os: "linux",
      config: { Entrypoint: settings.entrypoint, Env: settings.environment, Labels: settings.labels },
      rootfs: { type: "layers", diff_ids: packed.map(({ diffId }) => diffId) },
      history: layers.map(() => ({ created, created_by: "installer/Dockerfile: COPY" })),
    });
    const manifest = this.#addJson(`${OCI}.manifest.v1+json`, {
      schemaVersion: 2,
      mediaType: `${OCI}.manifest.v1+json`,
      config,
      layers: packed.map(({ descriptor }) => descriptor),
    });
    return { ...manifest, platform: { architecture, os: "linux" } };
  }

  /** An index over images of several architectures. */
  addIndex(images: readonly Descriptor[]): Descriptor {
    const mediaType = `${OCI}.index.v1+json`;
    return this.#addJson(mediaType, { schemaVersion: 2, mediaType, manifests: images });
  }

  /** Names the one image of this layout as `docker load`, `ctr image import` and skopeo do, and packs it. */
  writeArchive(path: string, image: Descriptor, reference: string): void {
    const named = {
      ...image,
      annotations: {
        "io.containerd.image.name": reference,
        "org.opencontainers.image.ref.name": tagOf(reference),
      },
    };
    writeFileSync(
      `${this.#folder}/index.json`,
      JSON.stringify({ schemaVersion: 2, mediaType: `${OCI}.index.v1+json`, manifests: [named] }),
    );
    run(tarArgv(path, this.#folder, ["oci-layout", "index.json", "blobs"]));
    rmSync(this.#folder, { recursive: true });
  }

  #addLayer({ folder, paths }: LayerSource) {
    const path = `${this.#folder}/layer.tar`;
    run(tarArgv(path, folder, paths));
    const tar = readFileSync(path);
    rmSync(path);
    const bytes = Bun.zstdCompressSync(tar, { level: ZSTD_LEVEL });
    return { diffId: digestOf(tar), descriptor: this.#add(`${OCI}.layer.v1.tar+zstd`, bytes) };
  }

  #addJson(mediaType: string, value: unknown): Descriptor {
    return this.#add(mediaType, new TextEncoder().encode(JSON.stringify(value)));
  }

  #add(mediaType: string, bytes: Uint8Array): Descriptor {
    const digest = digestOf(bytes);
    writeFileSync(`${this.#folder}/blobs/${digest.replace(":", "/")}`, bytes, { mode: 0o644 });
    return { mediaType, digest, size: bytes.length };
  }
}

/** The tag of an image's reference; the colon of a registry's port is none. Throws when there is no tag. */
export function tagOf(reference: string): string {
  const tag = /:([\w][\w.-]{0,127})$/.exec(reference)?.[1];
  if (tag === undefined) throw new Error(`IMAGE must name a tag, such as ${reference}:0.1.0`);
  return tag;
}

/** GNU tar's way to the same bytes from the same files (its manual, "Making tar Archives More Reproducible"). */
function tarArgv(path: string, folder: string, paths: readonly string[]): string[] {
  const same = [
    "--sort=name",
    `--mtime=@${FILE_TIME}`,
    "--owner=0",
    "--group=0",
    "--numeric-owner",
    "--format=ustar",
  ];
  return ["tar", ...same, "-cf", path, "-C", folder, "--", ...paths];
}

function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}
