import { quoteWord } from "../../plan/format.ts";
import { check } from "../check.ts";
import { fail, pass, skip, type Verdict, warn } from "../finding.ts";
import type { Runtime } from "../sections/runtime.ts";

type Folder = Runtime["binDir"];

const INSTALL = "# delete this node's pod of the DaemonSet minicni: its first container installs the plugin";

/** A8: the runtime runs what is in one folder by what is in another one, and looks at the second when it changes. */
export const runtimeCheck = check("A8", "the runtime's folders", ["runtime"], ({ runtime }) => {
  const { binDir, confDir, runtimes } = runtime;
  const found = [
    ...judgeFolder(binDir, "plugins", true, runtime),
    ...judgeFolder(confDir, "network configurations", false, runtime),
    ...judgePrograms(runtime),
    ...runtimes.flatMap((one) => judgeRuntime(one, confDir)),
  ];
  const unseen = describeUnseen(runtime);
  const fine = pass(describeFine(runtime), [...evidenceOf(binDir), ...evidenceOf(confDir)]);
  const hidden =
    runtime.unseen === null
      ? []
      : [skip(`the runtime's folders: whether they can be written is not looked at: ${runtime.unseen}`)];
  return [...(found.length > 0 ? found : [fine]), ...hidden, ...(unseen === null ? [] : [skip(unseen)])];
});

function describeFine({ binDir, confDir, runtimes, unseen }: Runtime): string {
  const missing = [binDir, confDir].filter(({ state }) => state === "missing");
  if (missing.length > 0)
    return `${missing.map(({ path }) => path).join(" and ")} not there yet: minicni makes it`;
  const isWatched = runtimes.some(({ isWatching }) => isWatching === true);
  const can = unseen === null ? "can be written" : "are there";
  return `${binDir.path} and ${confDir.path}${isWatched ? ", which the runtime watches," : ""} ${can}`;
}

function evidenceOf({ path, inode, mount }: Folder): string[] {
  const where =
    mount === null
      ? ""
      : `, mount ${mount.point} (${mount.fsType}, ${[...new Set(mount.options)].join(",")})`;
  return [`${path}: inode ${inode}${where}`];
}

function judgeFolder(folder: Folder, what: string, isRun: boolean, runtime: Runtime): Verdict[] {
  const { path, state, fault, mount } = folder;
  if (state === "missing") return judgeMissing(folder, what, runtime);
  if (state === "other")
    return [
      fail({
        message: `${path} is no folder`,
        cause: `the runtime takes its ${what} from there`,
        fix: [`mv ${quoteWord(path)} ${quoteWord(`${path}.old`)}`, `mkdir -p ${quoteWord(path)}`],
      }),
    ];
  const evidence = evidenceOf(folder);
  const point = quoteWord(mount?.point ?? path);
  return [
    ...(fault === null
      ? []
      : [
          warn({
            message:
              fault === "EROFS"
                ? `${path} is on a read-only file system`
                : `nothing can be made in ${path} (${fault})`,
            evidence,
            cause: `minicni can't put its ${what} there (calico#7486)`,
            fix:
              fault === "EROFS"
                ? [
                    `mount -o remount,rw ${point}`,
                    `# or on an immutable system: name a writable folder to the runtime, and to minicni by ${isRun ? "MINICNI_BIN_DIR" : "MINICNI_CONF_DIR"}`,
                  ]
                : [
                    `ls -ld ${quoteWord(path)}; lsattr -d ${quoteWord(path)}`,
                    "# as root, and without chattr +i",
                  ],
          }),
        ]),
    ...(isRun && mount?.options.includes("noexec") === true
      ? [
          fail({
            message: `${path} is on a mount with noexec`,
            evidence,
            cause: "the runtime gets EACCES for each plugin that it would run there",
            fix: [`mount -o remount,exec ${point}`, `# and without noexec for ${point} in /etc/fstab`],
          }),
        ]
      : []),
  ];
}

/** Before an installation a folder need not be there. */
function judgeMissing({ path }: Folder, what: string, { isInstalled }: Runtime): Verdict[] {
  if (!isInstalled) return [];
  return [
    fail({
      message: `there is no folder ${path}`,
      cause: `the runtime takes its ${what} from there`,
      fix: [INSTALL],
    }),
  ];
}

function judgePrograms({ programs, binDir, isInstalled }: Runtime): Verdict[] {
  if (!isInstalled || binDir.state !== "folder") return [];
  return programs.flatMap(({ name, state, bytes, mode }): Verdict[] => {
    const path = `${binDir.path}/${name}`;
    const isOwn = name === "minicni";
    const cause = isOwn
      ? "the runtime can neither start nor remove a pod without it"
      : "containerd up to 2.0 sets up each pod's lo by it";
    const judge = isOwn ? fail : warn;
    const evidence = [
      `${path}: ${state}${state === "file" ? `, ${bytes} bytes, mode ${mode.toString(8)}` : ""}`,
    ];
    if (state === "file" && bytes > 0)
      return (mode & 0o111) !== 0
        ? []
        : [
            judge({
              message: `${path} is not executable`,
              evidence,
              cause,
              fix: [`chmod 755 ${quoteWord(path)}`],
            }),
          ];
    const what = state === "missing" ? "there is no plugin" : state === "file" ? "empty file" : `${state}:`;
    return [
      judge({
        message: `${what} ${path}`,
        evidence,
        cause,
        fix: [...(state === "missing" ? [] : [`rm -r ${quoteWord(path)}`]), INSTALL],
      }),
    ];
  });
}

function judgeRuntime(
  { name, pid, confDir: own, configFile, isWatching, watches }: Runtime["runtimes"][number],
  confDir: Folder,
): Verdict[] {
  if (own !== null && own !== confDir.path)
    return [
      warn({
        message: `${name} (process ${pid}) takes network configurations from ${own}, not from ${confDir.path}`,
        evidence: [`${configFile ?? "its default"}: ${own}`],
        cause: "what the agent writes is not read by it",
        fix: [`# set MINICNI_CONF_DIR and the hostPath of the DaemonSet to ${own}`],
      }),
    ];
  if (isWatching !== false) return [];
  return [
    warn({
      message: `${name} (process ${pid}) does not watch ${confDir.path} as it is now (inode ${confDir.inode})`,
      evidence: [
        ...evidenceOf(confDir),
        ...(watches.length === 0
          ? [`process ${pid} watches nothing`]
          : watches.map((watch) => `process ${pid} watches ${watch}`)),
      ],
      cause:
        "the folder was removed or replaced after the runtime had begun to watch it (containerd#7196, kubeadm reset): it goes on with the configuration that it had, or with none, and sees no change",
      fix: [`systemctl restart ${name}`],
    }),
  ];
}

function describeUnseen({ runtimes, confDir }: Runtime): string | null {
  if (confDir.state !== "folder") return null;
  if (runtimes.length === 0)
    return `the runtime's folders: whether it watches ${confDir.path} is not looked at: no process containerd or crio can be seen from here (in a pod: hostPID)`;
  const hidden = runtimes.find((one) => one.confDir === confDir.path && one.isWatching === null);
  if (hidden === undefined) return null;
  return `the runtime's folders: whether ${hidden.name} (process ${hidden.pid}) watches ${confDir.path} can't be seen (run as root on the node)`;
}
