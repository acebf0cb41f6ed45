import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { parseElf } from "../../installer/elf.ts";
import { must, run } from "../kernel/sandbox.ts";
import { filesOf, Image, listing } from "./image-archive.ts";

const ROOT = `${import.meta.dir}/../..`;
const IMAGES = `${ROOT}/dist/image`;
const HOST = process.arch === "arm64" ? "arm64" : "amd64";
const ARCHITECTURES = ["amd64", "arm64"].filter(
  (each) => each === HOST || existsSync(`${IMAGES}/minicni-${each}.tar`),
);
const TIMEOUT_MS = 60_000;
const folder = mkdtempSync(`${tmpdir()}/minicni-image-`);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const images = new Map<string, Image>();
function imageOf(architecture: string): Image {
  const image =
    images.get(architecture) ??
    new Image(`${IMAGES}/minicni-${architecture}.tar`, `${folder}/${architecture}`);
  images.set(architecture, image);
  return image;
}

describe.each(ARCHITECTURES)("the image for %s", (architecture) => {
  test(
    "has blobs that are what they are called, and says how it is started",
    () => {
      const { config, reference } = imageOf(architecture);
      expect(config.architecture).toBe(architecture);
      expect(config.config.Entrypoint).toEqual(["/usr/local/bin/minicni"]);
      expect(reference).toMatch(/.:[\w.-]+$/);
    },
    TIMEOUT_MS,
  );

  test(
    "holds programs of its architecture only, with each library that any of them needs",
    () => {
      const { root } = imageOf(architecture);
      const files = filesOf(root);
      const names = new Set(
        files.filter((path) => path.startsWith("usr/lib")).map((path) => path.split("/").pop()),
      );
      const elves = files.flatMap((path) => {
        if (lstatSync(`${root}/${path}`).isSymbolicLink()) return [];
        const elf = parseElf(readFileSync(`${root}/${path}`));
        return elf === null ? [] : [{ path, ...elf }];
      });
      expect(elves.map(({ path }) => path)).toContain("usr/local/bin/minicni");
      expect(elves.length).toBeGreaterThan(50);
      expect(elves.filter(({ machine }) => machine !== architecture)).toEqual([]);
      const loaders = elves.flatMap(({ interpreter }) => (interpreter === null ? [] : [interpreter]));
      const needed = [
        ...elves.flatMap((elf) => elf.needed),
        ...loaders.map((path) => path.split("/").pop() ?? ""),
      ];
      expect(needed.filter((soname) => !names.has(soname))).toEqual([]);
      // In a chroot a link leads where it leads in the container; the test follows it by hand.
      const resolve = (path: string) => path.replace(/^\/(bin|sbin|lib|lib64)\//, "/usr/$1/").slice(1);
      expect(loaders.filter((path) => !files.includes(resolve(path)))).toEqual([]);
    },
    TIMEOUT_MS,
  );

  test(
    "has the programs the agent spawns, no shell, and nothing setuid",
    () => {
      const { root } = imageOf(architecture);
      const programs = filesOf(root).filter((path) => /^usr\/(local\/)?s?bin\//.test(path));
      const families = ["iptables", "ip6tables"].flatMap((name) => [name, `${name}-nft`, `${name}-legacy`]);
      const rules = families.flatMap((name) => [name, `${name}-save`, `${name}-restore`]);
      const others = [
        "usr/local/bin/minicni",
        "usr/bin/ip",
        "usr/sbin/ip",
        "usr/sbin/bridge",
        "usr/sbin/nft",
      ];
      const multi = ["usr/sbin/xtables-nft-multi", "usr/sbin/xtables-legacy-multi"];
      expect(programs.sort()).toEqual(
        [...others, ...multi, ...rules.map((name) => `usr/sbin/${name}`)].sort(),
      );
      const modes = filesOf(root).map((path) => lstatSync(`${root}/${path}`).mode);
      expect(modes.filter((mode) => (mode & 0o6000) !== 0)).toEqual([]);
    },
    TIMEOUT_MS,
  );

  test(
    "names each package it has files of, with its licence",
    () => {
      const { root } = imageOf(architecture);
      const lines = readFileSync(`${root}/usr/share/minicni/packages.txt`, "utf8").trimEnd().split("\n");
      const names = lines.map((line) => line.split(" ")[0] ?? "");
      expect(names).toEqual(expect.arrayContaining(["iproute2", "iptables", "nftables", "libc6"]));
      expect(names.filter((name) => !existsSync(`${root}/usr/share/doc/${name}/copyright`))).toEqual([]);
      expect(readdirSync(`${root}/var/lib/dpkg/status.d`).sort()).toEqual([...names].sort());
    },
    TIMEOUT_MS,
  );
});

describe("the image for this machine", () => {
  // Bun needs /proc, which every runtime gives a container.
  const alone = (root: string, ...argv: string[]) =>
    run(["unshare", "--net", "--pid", "--fork", `--mount-proc=${root}/proc`, "chroot", root, ...argv]);

  test(
    "runs each of its programs from nothing but itself",
    () => {
      const { root } = imageOf(HOST);
      const said = (...argv: string[]) => {
        const { exitCode, stdout, stderr } = alone(root, ...argv);
        return `${exitCode} ${stdout}${stderr}`;
      };
      expect(said("ip", "-j", "link", "show", "lo")).toStartWith('0 [{"ifindex":1');
      expect(said("bridge", "-V")).toStartWith("0 bridge utility");
      expect(said("nft", "list", "ruleset")).toBe("0 ");
      expect(said("iptables", "--version")).toContain("(nf_tables)");
      expect(said("ip6tables-legacy", "--version")).toContain("(legacy)");
      const rule = [
        "-t",
        "nat",
        "-A",
        "POSTROUTING",
        "-m",
        "comment",
        "--comment",
        "x",
        "-j",
        "MASQUERADE",
        "--random-fully",
      ];
      expect(said("iptables-nft", ...rule)).toBe("0 ");
      expect(said("usr/local/bin/minicni", "--version")).toStartWith("0 ");
    },
    TIMEOUT_MS,
  );

  test(
    "is the one its Dockerfile makes",
    () => {
      const storage = [
        "--root",
        `${folder}/storage`,
        "--runroot",
        `${folder}/run`,
        "--storage-driver",
        "vfs",
      ];
      const dockerfile = `${ROOT}/installer/Dockerfile`;
      const file = [
        "--file",
        dockerfile,
        "--ignorefile",
        `${dockerfile}.dockerignore`,
        "--build-arg",
        `TARGETARCH=${HOST}`,
      ];
      must("buildah", ...storage, "build", "--isolation", "chroot", ...file, "--tag", "built", IMAGES);
      try {
        const container = must("buildah", ...storage, "from", "--pull-never", "built").trim();
        const mounted = must("buildah", ...storage, "mount", container).trim();
        const { root, config } = imageOf(HOST);
        expect(listing(mounted)).toEqual(listing(root));
        const inspected: { OCIv1: { config: object } } = JSON.parse(
          must("buildah", ...storage, "inspect", "--type", "image", "built"),
        );
        expect(inspected.OCIv1.config).toMatchObject(config.config);
        must("buildah", ...storage, "umount", container);
      } finally {
        run(["buildah", ...storage, "rm", "--all"]);
      }
    },
    TIMEOUT_MS,
  );
});
