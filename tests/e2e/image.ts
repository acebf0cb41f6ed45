import { createHash } from "node:crypto";
import {
  copyFileSync,
  mkdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { must } from "../kernel/sandbox.ts";

const APPLETS = ["sh", "ip", "ping", "sleep", "cat", "nc", "httpd", "mkdir", "chmod", "printf"];
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };
/** This machine's, by the name that images and their archives have for it. */
export const ARCHITECTURE = ARCHITECTURES[process.arch] ?? process.arch;
/** The name of the image of {@link makeImage}. */
export const BUSYBOX_IMAGE = "minicni.test/busybox:e2e";
const OCI = "application/vnd.oci.image";

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

/** Makes an OCI image archive of one layer, busybox and its applets, in `folder`; returns the tar's path. */
export function makeImage(folder: string): string {
  const layout = `${folder}/layout`;
  const rootfs = `${folder}/rootfs`;
  mkdirSync(`${layout}/blobs/sha256`, { recursive: true });
  mkdirSync(`${rootfs}/bin`, { recursive: true });
  copyFileSync(staticBusybox(), `${rootfs}/bin/busybox`);
  for (const applet of APPLETS) symlinkSync("busybox", `${rootfs}/bin/${applet}`);

  const layer = `${folder}/layer.tar`;
  must("tar", "--numeric-owner", "--owner=0", "--group=0", "-cf", layer, "-C", rootfs, ".");
  const layerBlob = addBlob(layout, layer, `${OCI}.layer.v1.tar`);
  const config = addJson(layout, `${OCI}.config.v1+json`, {
    architecture: ARCHITECTURE,
    os: "linux",
    config: { Env: ["PATH=/bin"], Cmd: ["sh"] },
    rootfs: { type: "layers", diff_ids: [layerBlob.digest] },
  });
  const manifest = addJson(layout, `${OCI}.manifest.v1+json`, {
    schemaVersion: 2,
    mediaType: `${OCI}.manifest.v1+json`,
    config,
    layers: [layerBlob],
  });
  const index = {
    schemaVersion: 2,
    manifests: [{ ...manifest, annotations: { "io.containerd.image.name": BUSYBOX_IMAGE } }],
  };
  writeFileSync(`${layout}/index.json`, JSON.stringify(index));
  writeFileSync(`${layout}/oci-layout`, JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  const archive = `${folder}/image.tar`;
  must("tar", "-cf", archive, "-C", layout, ".");
  return archive;
}

function staticBusybox(): string {
  const path = Bun.which("busybox");
  if (path === null) throw new Error("busybox is missing: run 'make packages-test'");
  // A dynamic busybox names its interpreter, and the container has no such file.
  if (readFileSync(path).includes("/ld-linux"))
    throw new Error(`${path} is not static: busybox-static wanted`);
  return path;
}

function addJson(layout: string, mediaType: string, value: unknown): Descriptor {
  const path = `${layout}/new.json`;
  writeFileSync(path, JSON.stringify(value));
  return addBlob(layout, path, mediaType);
}

function addBlob(layout: string, path: string, mediaType: string): Descriptor {
  const hex = createHash("sha256").update(readFileSync(path)).digest("hex");
  const { size } = statSync(path);
  renameSync(path, `${layout}/blobs/sha256/${hex}`);
  return { mediaType, digest: `sha256:${hex}`, size };
}
