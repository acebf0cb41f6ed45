import { existsSync, readdirSync, readlinkSync, writeFileSync } from "node:fs";
import { waitFor } from "../kernel/agent.ts";
import { type Finished, must, run } from "../kernel/sandbox.ts";
import { type Certificates, makeCertificates } from "../twin/apiserver-certificates.ts";
import { Machine } from "./machine.ts";

/** Where envtest (sigs.k8s.io/controller-runtime/tools/setup-envtest) puts the programs of Kubernetes. */
const ASSETS = process.env.KUBEBUILDER_ASSETS ?? "";
const BASE = ["etcd", "kube-apiserver", "kubectl"];

/** Of the control plane on the link that its nodes share; nodes are 10.9.0.1 and on. */
export const CONTROL_ADDRESS = "10.9.0.100";
/** Of the Service `kubernetes`: the first of the range. Routed to the control plane, as no kube-proxy translates it. */
export const SERVICE_ADDRESS = "10.96.0.1";
const CLUSTER_CIDR = "10.244.0.0/16";
const START_TIMEOUT_MS = 90_000;

/** Path of a program of Kubernetes. */
export const asset = (name: string): string => `${ASSETS}/${name}`;

/** Why tests that need the API server and these programs are skipped; empty when all are there. */
export function assetsFault(...programs: readonly string[]): string {
  if (ASSETS === "") return "KUBEBUILDER_ASSETS is not set";
  const missing = [...BASE, ...programs].filter((name) => !existsSync(asset(name)));
  if (missing.length > 0) return `KUBEBUILDER_ASSETS has no ${missing.join(", ")}`;
  return process.getuid?.() === 0 ? "" : "namespaces and mounts need root";
}

/** A shell command line that runs a program in the background, its output in a log of the machine's folder. */
export function background(program: string, args: readonly string[]): string {
  const name = program.slice(program.lastIndexOf("/") + 1);
  const words = [program, ...args].map((word) => `'${word}'`).join(" ");
  return `${words} </dev/null >"$WORK/${name}.log" 2>&1 &\n`;
}

/** The process, as the host numbers it, that a machine's namespaces can be named by. */
export function processOf(machine: Machine): string {
  const namespace = machine.must(["readlink", "/proc/self/ns/net"]).trim();
  const found = readdirSync("/proc").find((name) => /^\d+$/.test(name) && isIn(name, namespace));
  if (found === undefined) throw new Error(`no process in ${namespace}`);
  return found;
}

function isIn(pid: string, namespace: string): boolean {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`) === namespace;
  } catch {
    return false;
  }
}

/** Etcd and the API server, with RBAC and the Node authorizer, in a network namespace that is also the nodes' link. */
export class ControlPlane {
  readonly machine = new Machine();
  readonly #pki = `${this.machine.work}/pki`;
  readonly kubeconfig = `${this.machine.work}/admin.kubeconfig`;
  readonly certificates: Certificates;
  #objects = 0;

  private constructor() {
    const hosts = [CONTROL_ADDRESS, SERVICE_ADDRESS, "127.0.0.1", "kubernetes.default.svc"];
    this.certificates = makeCertificates(this.#pki, hosts);
    must("openssl", "genrsa", "-out", `${this.#pki}/sa.key`, "2048");
    writeFileSync(this.kubeconfig, this.configOf("admin", "/O=system:masters/CN=admin"));
  }

  /** Starts them, and the controllers and the scheduler with `controllers`. Throws, with all down again, when that fails. */
  static async start(options: { controllers?: boolean } = {}): Promise<ControlPlane> {
    const plane = new ControlPlane();
    try {
      await plane.machine.start(plane.#script(options.controllers === true));
      const isReady = () => plane.kubectl("get", "--raw", "/readyz").exitCode === 0;
      await waitFor("the API server is ready", isReady, () => plane.logs(), START_TIMEOUT_MS);
      return plane;
    } catch (error) {
      await plane.machine.stop();
      throw error;
    }
  }

  stop(): Promise<void> {
    return this.machine.stop();
  }

  #script(controllers: boolean): string {
    const link = [
      "ip link add lan up type bridge",
      `ip addr add ${CONTROL_ADDRESS}/24 dev lan`,
      `ip addr add ${SERVICE_ADDRESS}/32 dev lo`,
      "",
    ].join("\n");
    const { certFile, keyFile, caFile } = this.certificates;
    const { cert, key } = this.sign("kubelet-client", "/O=system:masters/CN=kubelet-client");
    const etcd = background(asset("etcd"), ["--data-dir=/var/lib/etcd", "--unsafe-no-fsync"]);
    const server = background(asset("kube-apiserver"), [
      "--etcd-servers=http://127.0.0.1:2379",
      "--secure-port=443",
      `--advertise-address=${CONTROL_ADDRESS}`,
      `--tls-cert-file=${certFile}`,
      `--tls-private-key-file=${keyFile}`,
      `--client-ca-file=${caFile}`,
      "--authorization-mode=Node,RBAC",
      "--enable-admission-plugins=NodeRestriction",
      "--service-cluster-ip-range=10.96.0.0/24",
      "--service-account-issuer=https://kubernetes.default.svc",
      `--service-account-key-file=${this.#pki}/sa.key`,
      `--service-account-signing-key-file=${this.#pki}/sa.key`,
      `--kubelet-client-certificate=${cert}`,
      `--kubelet-client-key=${key}`,
      "--kubelet-preferred-address-types=InternalIP",
    ]);
    return link + etcd + server + (controllers ? this.#controllers() : "");
  }

  #controllers(): string {
    const config = (name: string): string => {
      const path = `${this.machine.work}/${name}.kubeconfig`;
      writeFileSync(path, this.configOf(name, `/CN=system:${name}`));
      return path;
    };
    const manager = background(asset("kube-controller-manager"), [
      `--kubeconfig=${config("kube-controller-manager")}`,
      "--leader-elect=false",
      "--use-service-account-credentials",
      "--allocate-node-cidrs",
      `--cluster-cidr=${CLUSTER_CIDR}`,
      "--service-cluster-ip-range=10.96.0.0/24",
      `--root-ca-file=${this.certificates.caFile}`,
      `--service-account-private-key-file=${this.#pki}/sa.key`,
    ]);
    const scheduler = background(asset("kube-scheduler"), [
      `--kubeconfig=${config("kube-scheduler")}`,
      "--leader-elect=false",
    ]);
    // They end when there is no API server to ask for its configuration.
    const ready = `${asset("kubectl")} --kubeconfig '${this.kubeconfig}' get --raw /readyz >/dev/null 2>&1`;
    return `( until ${ready}; do sleep 0.2; done\n${manager}${scheduler}) &\n`;
  }

  /** A client certificate of the cluster's CA. */
  sign(name: string, subject: string): { cert: string; key: string } {
    const [cert, key] = [`${this.#pki}/${name}.crt`, `${this.#pki}/${name}.key`];
    const request = `${this.#pki}/${name}.csr`;
    const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    must("openssl", "req", "-new", ...kind, "-keyout", key, "-out", request, "-subj", subject);
    const signer = ["-CA", this.certificates.caFile, "-CAkey", `${this.#pki}/ca.key`, "-CAcreateserial"];
    must("openssl", "x509", "-req", "-in", request, ...signer, "-days", "30", "-out", cert);
    return { cert, key };
  }

  /** A kubeconfig for a user with a certificate of this subject. */
  configOf(name: string, subject: string): string {
    const { cert, key } = this.sign(name, subject);
    return this.#config({ "client-certificate": cert, "client-key": key });
  }

  /** A kubeconfig for a user with a file that has a token, who asks the Service `kubernetes`. */
  configOfToken(tokenFile: string): string {
    return this.#config({ tokenFile }, SERVICE_ADDRESS);
  }

  #config(user: Readonly<Record<string, string>>, host = CONTROL_ADDRESS): string {
    const server = `https://${host}:443`;
    return JSON.stringify({
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name: "c", cluster: { server, "certificate-authority": this.certificates.caFile } }],
      users: [{ name: "u", user }],
      contexts: [{ name: "x", context: { cluster: "c", user: "u" } }],
      "current-context": "x",
    });
  }

  /** `kubectl …` as the cluster's administrator. */
  kubectl(...words: string[]): Finished {
    return this.machine.run([asset("kubectl"), "--kubeconfig", this.kubeconfig, ...words]);
  }

  /** The same that has to succeed; returns its stdout. */
  must(...words: string[]): string {
    const done = this.kubectl(...words);
    if (done.exitCode === 0) return done.stdout.trim();
    throw new Error(`kubectl ${words.join(" ")}: exit ${done.exitCode}: ${done.stdout}${done.stderr}`);
  }

  /** `kubectl apply` of an object. */
  apply(object: object): string {
    const path = `${this.machine.work}/object-${++this.#objects}.json`;
    writeFileSync(path, JSON.stringify(object));
    return this.must("apply", "-f", path);
  }

  /** What an object's field is, by a JSON path; empty when there is no such object. */
  field(object: string, path: string, namespace = "default"): string {
    const done = this.kubectl("-n", namespace, "get", object, "-o", `jsonpath={${path}}`);
    return done.exitCode === 0 ? done.stdout.trim() : "";
  }

  /** The ends of the programs' logs, for a test that failed. */
  logs(): string {
    const files = readdirSync(this.machine.work).filter((name) => name.endsWith(".log"));
    return run(["tail", "-n", "15", ...files.map((name) => `${this.machine.work}/${name}`)]).stdout;
  }
}
