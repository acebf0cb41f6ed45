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
import { chmodSync, copyFileSync, mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import type { Architecture } from "./debian.ts";
import { parseDockerfile } from "./dockerfile.ts";
import { type Descriptor, Layout } from "./oci.ts";
import { ARCHITECTURES, createdTime, imageReference, ROOT } from "./project.ts";
import { buildRootfs } from "./rootfs.ts";

const IMAGES = `${ROOT}/dist/image`;

function addImage(layout: Layout, architecture: Architecture): Descriptor {
  const folder = `${IMAGES}/${architecture}`;
  const home = `${folder}/minicni/usr/local/bin`;
  mkdirSync(home, { recursive: true });
  copyFileSync(`${ROOT}/dist/${architecture}/minicni`, `${home}/minicni`);
  chmodSync(`${home}/minicni`, 0o755);
  const { copies, ...settings } = parseDockerfile(readFileSync(`${ROOT}/installer/Dockerfile`, "utf8"));
  const layers = copies.map((name) => {
    return { folder: `${folder}/${name}`, paths: readdirSync(`${folder}/${name}`).sort() };
  });
  return layout.addImage(architecture, layers, settings, createdTime());
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
