/**
 * Fills dist/release from what `make image` left: binaries, image, manifest, bill of materials, sums. Called by
 * `make release`. Environment: as build-image.ts; with IMAGE the manifest names that image.
 */
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { run } from "./debian.ts";
import {
  ARCHITECTURES,
  createdTime,
  defaultReference,
  imageReference,
  ROOT,
  readProject,
} from "./project.ts";
import { completeSbom, parsePackages, sbomFaults } from "./sbom.ts";

const RELEASE = `${ROOT}/dist/release`;

function copyBinaries(): void {
  for (const each of ARCHITECTURES)
    copyFileSync(`${ROOT}/dist/${each}/minicni`, `${RELEASE}/minicni-linux-${each}`);
  copyFileSync(`${ROOT}/dist/image/minicni.tar`, `${RELEASE}/minicni.tar`);
}

function writeManifest(): void {
  const text = readFileSync(`${ROOT}/k8s/minicni.yaml`, "utf8");
  const written = text.replaceAll(`image: ${defaultReference()}\n`, `image: ${imageReference()}\n`);
  if (!written.includes(`image: ${imageReference()}\n`))
    throw new Error(`k8s/minicni.yaml does not name ${defaultReference()}`);
  writeFileSync(`${RELEASE}/minicni.yaml`, written);
}

function writeSbom(): void {
  const npm = ["npm", "--prefix", ROOT, "sbom", "--sbom-format", "cyclonedx", "--package-lock-only"];
  const read = (architecture: string, path: string) =>
    readFileSync(`${ROOT}/dist/image/${architecture}/rootfs/${path}`, "utf8");
  const packages = ARCHITECTURES.flatMap((each) =>
    parsePackages(read(each, "usr/share/minicni/packages.txt")),
  );
  const field = (name: string) =>
    new RegExp(`^${name}="?([^"\n]+)`, "m").exec(read(ARCHITECTURES[0] ?? "", "etc/os-release"))?.[1];
  const distro = `${field("ID")}-${field("VERSION_ID")}`;
  const sbom = completeSbom(JSON.parse(run(npm)), readProject().name, packages, distro, createdTime());
  const faults = sbomFaults(sbom, JSON.parse(readFileSync(`${ROOT}/package-lock.json`, "utf8")));
  if (faults.length > 0) throw new Error(`the bill of materials is wrong: ${faults.join("; ")}`);
  writeFileSync(`${RELEASE}/sbom.cdx.json`, `${JSON.stringify(sbom, null, 2)}\n`);
}

/** For `sha256sum --check SHA256SUMS`. */
function writeSums(): void {
  const lines = readdirSync(RELEASE)
    .sort()
    .map(
      (name) =>
        `${createHash("sha256")
          .update(readFileSync(`${RELEASE}/${name}`))
          .digest("hex")}  ${name}\n`,
    );
  writeFileSync(`${RELEASE}/SHA256SUMS`, lines.join(""));
}

process.umask(0o022);
rmSync(RELEASE, { recursive: true, force: true });
mkdirSync(RELEASE, { recursive: true });
copyBinaries();
writeManifest();
writeSbom();
writeSums();
process.stdout.write(readFileSync(`${RELEASE}/SHA256SUMS`, "utf8"));
