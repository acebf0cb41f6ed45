/**
 * Makes the image of minicni without a daemon, a registry or emulation. Called by the Makefile:
 *
 *   rootfs ARCHITECTURE    dist/image/ARCHITECTURE/{rootfs,minicni}, from dist/ARCHITECTURE/minicni and Debian packages
 *   archive ARCHITECTURE   dist/image/minicni-ARCHITECTURE.tar from that
 *   index                  dist/image/minicni.tar, both architectures in one
 *
 * Environment: IMAGE, the image's reference; SOURCE_DATE_EPOCH, when it was made in seconds since 1970 (default: the time
 * of the last commit; without git 0).
 */
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type { Architecture } from "./debian.ts";
import { parseDockerfile } from "./dockerfile.ts";
import { describeLicences } from "./licences.ts";
import { type Descriptor, Layout } from "./oci.ts";
import { ARCHITECTURES, createdTime, imageReference, ROOT } from "./project.ts";
import { buildRootfs } from "./rootfs.ts";

const IMAGES = `${ROOT}/dist/image`;

function addImage(layout: Layout, architecture: Architecture): Descriptor {
  const folder = `${IMAGES}/${architecture}`;
  put(`${folder}/minicni/usr/local/bin/minicni`, readFileSync(`${ROOT}/dist/${architecture}/minicni`), 0o755);
  const lock = JSON.parse(readFileSync(`${ROOT}/package-lock.json`, "utf8"));
  const documents = `${folder}/minicni/usr/share/doc/minicni`;
  put(`${documents}/LICENSE`, readFileSync(`${ROOT}/LICENSE`), 0o644);
  put(`${documents}/third-party-licences`, describeLicences(ROOT, lock), 0o644);
  const { copies, ...settings } = parseDockerfile(readFileSync(`${ROOT}/installer/Dockerfile`, "utf8"));
  const layers = copies.map((name) => {
    return { folder: `${folder}/${name}`, paths: readdirSync(`${folder}/${name}`).sort() };
  });
  return layout.addImage(architecture, layers, settings, createdTime());
}

function put(path: string, content: string | Uint8Array, mode: number): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  chmodSync(path, mode);
}

function writeArchive(path: string, layout: Layout, image: Descriptor): void {
  layout.writeArchive(path, image, imageReference());
  const megabytes = (statSync(path).size / 1e6).toFixed(1);
  process.stdout.write(
    `built ${path.slice(ROOT.length + 1)}: ${imageReference()}, ${megabytes} MB, ${image.digest}\n`,
  );
}

function main([command, wanted]: readonly string[]): void {
  process.umask(0o022);
  const architecture = ARCHITECTURES.find((known) => known === wanted);
  if (command === "rootfs" && architecture !== undefined) {
    buildRootfs(`${IMAGES}/${architecture}`, architecture, `${ROOT}/dist/${architecture}/minicni`);
  } else if (command === "archive" && architecture !== undefined) {
    const layout = new Layout(`${IMAGES}/layout-${architecture}`);
    writeArchive(`${IMAGES}/minicni-${architecture}.tar`, layout, addImage(layout, architecture));
  } else if (command === "index") {
    const layout = new Layout(`${IMAGES}/layout`);
    const images = ARCHITECTURES.map((each) => addImage(layout, each));
    writeArchive(`${IMAGES}/minicni.tar`, layout, layout.addIndex(images));
  } else {
    throw new Error("usage: build-image.ts rootfs|archive ARCHITECTURE | index");
  }
}

main(process.argv.slice(2));
