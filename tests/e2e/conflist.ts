import { mkdirSync, realpathSync, symlinkSync, writeFileSync } from "node:fs";
import { BINARY, type Json, type Pod, run, type Sandbox } from "../kernel/sandbox.ts";
import { errorOf, type Finished, type ResultView } from "../kernel/views.ts";

/** Where Debian's containernetworking-plugins keeps the reference plugins. */
const REFERENCE_PLUGINS = "/usr/lib/cni";

/** A network as its administrator writes it; `cniVersion` and `name` reach every plugin. */
export interface NetworkList {
  readonly cniVersion: string;
  readonly name: string;
  readonly plugins: readonly PluginConf[];
}

/** One plugin's part of a list. */
export interface PluginConf extends Json {
  readonly type: string;
  readonly capabilities?: Readonly<Record<string, boolean>>;
}

/** A result with which interface an address is on: an index into `interfaces`. */
export interface ListResult extends ResultView {
  readonly ips: readonly (ResultView["ips"][number] & { readonly interface?: number })[];
}

/** Makes a folder with our binary and the reference plugins, to be CNI_PATH. */
export function makePluginFolder(parent: string): string {
  const folder = `${parent}/bin`;
  mkdirSync(folder);
  for (const name of new Bun.Glob("*").scanSync({ cwd: REFERENCE_PLUGINS }))
    symlinkSync(`${REFERENCE_PLUGINS}/${name}`, `${folder}/${name}`);
  symlinkSync(realpathSync(BINARY), `${folder}/minicni`);
  return folder;
}

/** The plugin of {@link addSidePlugin}. */
export const SIDE: PluginConf = { type: "side" };

/** A runtime has one interface name for a whole list, and the reference plugins take it; this one brings its own. */
const SIDE_PLUGIN = `#!/bin/sh
inside() { nsenter --net="$CNI_NETNS" ip "$@"; }
version=$(sed -n 's/.*"cniVersion":"\\([^"]*\\)".*/\\1/p')
case "$version" in 0.*) family='"version":"4",' ;; esac
case "$CNI_COMMAND" in
ADD)
  inside link add side0 address 02:00:5e:00:53:4d type veth peer name side1
  inside addr add 192.168.77.2/24 dev side0
  inside link set side1 up
  inside link set side0 up
  inside route add 192.168.78.0/24 via 192.168.77.1
  cat <<END
{"cniVersion":"$version","interfaces":[{"name":"side0","mac":"02:00:5e:00:53:4d","sandbox":"$CNI_NETNS"}],
"ips":[{$family"interface":0,"address":"192.168.77.2/24","gateway":"192.168.77.1"}],
"routes":[{"dst":"192.168.78.0/24","gw":"192.168.77.1"}],"dns":{}}
END
  ;;
CHECK) inside link show side0 >/dev/null ;;
DEL) [ -z "$CNI_NETNS" ] || inside link del side0 2>/dev/null || true ;;
esac
`;

/** Adds a plugin `side` to the folder: it makes side0 in the pod, with an address and a route. */
export function addSidePlugin(folder: string): void {
  writeFileSync(`${folder}/${SIDE.type}`, SIDE_PLUGIN, { mode: 0o755 });
}

/** Runs one plugin of the folder in the node's namespace, as libcni would. */
export function callPlugin(
  node: Sandbox,
  folder: string,
  command: string,
  pod: Pod,
  conf: PluginConf,
  env: Readonly<Record<string, string>> = {},
): Finished {
  const argv = ["/usr/bin/nsenter", `--net=${node.netns}`, `${folder}/${conf.type}`];
  return run(argv, {
    stdin: JSON.stringify(conf),
    env: node.variables(command, pod, { CNI_PATH: folder, ...env }),
  });
}

/** What libcni does with a list, step for step; the results of ADD are kept in memory instead of below /var/lib/cni. */
export class Runtime {
  readonly #results = new Map<string, ListResult>();

  constructor(
    readonly node: Sandbox,
    readonly folder: string,
    readonly list: NetworkList,
  ) {}

  /** Every plugin in order, each given the result so far. Like libcni, a failed ADD undoes nothing: that is DEL's. */
  add(pod: Pod, capabilityArgs: Json = {}): ListResult {
    let result: ListResult | undefined;
    for (const plugin of this.list.plugins) {
      const done = this.#call("ADD", pod, plugin, capabilityArgs, result);
      const said: ListResult = JSON.parse(done.stdout);
      result = said;
    }
    if (result === undefined) throw new Error("a list without plugins");
    this.#results.set(pod.id, result);
    return result;
  }

  /**
   * Every plugin in order, each given ADD's final result; below 0.4.0 libcni refuses. Not portmap: 1.1.1 looks for the
   * IPv4 rules in ip6tables too, so its CHECK fails wherever that can run.
   */
  check(pod: Pod, capabilityArgs: Json = {}): void {
    if (!this.canCheck) throw new Error(`no CHECK with ${this.list.cniVersion}`);
    for (const plugin of this.list.plugins)
      if (plugin.type !== "portmap")
        this.#call("CHECK", pod, plugin, capabilityArgs, this.#results.get(pod.id));
  }

  /** Every plugin in reverse order, each given ADD's final result, where there is one and the version knows that. */
  del(pod: Pod, capabilityArgs: Json = {}): void {
    const result = this.canCheck ? this.#results.get(pod.id) : undefined;
    for (const plugin of [...this.list.plugins].reverse())
      this.#call("DEL", pod, plugin, capabilityArgs, result);
    this.#results.delete(pod.id);
  }

  /** CHECK, and prevResult on DEL, exist from 0.4.0 on. */
  get canCheck(): boolean {
    return !this.list.cniVersion.startsWith("0.3");
  }

  #call(command: string, pod: Pod, plugin: PluginConf, args: Json, prevResult?: ListResult): Finished {
    const declared = Object.entries(args).filter(([name]) => plugin.capabilities?.[name] === true);
    const { cniVersion, name } = this.list;
    const done = callPlugin(this.node, this.folder, command, pod, {
      ...plugin, // with `capabilities`: libcni leaves them in
      cniVersion,
      name,
      ...(declared.length > 0 ? { runtimeConfig: Object.fromEntries(declared) } : {}),
      ...(prevResult === undefined ? {} : { prevResult }),
    });
    if (done.exitCode === 0) return done;
    const said = done.stdout === "" ? done.stderr : messageOf(done);
    throw new Error(`plugin type="${plugin.type}" failed (${command}): ${said}`);
  }
}

function messageOf(done: Finished): string {
  const { code, msg, details } = errorOf(done);
  return `${msg}${details ? `; ${details}` : ""} (code ${code})`;
}
