import { mkdirSync, writeFileSync } from "node:fs";

/** PEM files of a cluster made up for a test. */
export interface Certificates {
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
  readonly clientCertFile: string;
  readonly clientKeyFile: string;
}

const DAYS = "30";
const KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/** Makes a CA, a server certificate for these addresses and names, and a client certificate, all in `folder`. */
export function makeCertificates(folder: string, hosts: readonly string[]): Certificates {
  mkdirSync(folder, { recursive: true });
  const file = (name: string) => `${folder}/${name}`;
  openssl([
    "req",
    "-x509",
    ...KEY,
    "-keyout",
    file("ca.key"),
    "-out",
    file("ca.crt"),
    "-days",
    DAYS,
    "-subj",
    "/CN=twin-ca",
  ]);
  const sign = (name: string, subject: string, extensions: string): void => {
    writeFileSync(file(`${name}.ext`), extensions);
    openssl([
      "req",
      "-new",
      ...KEY,
      "-keyout",
      file(`${name}.key`),
      "-out",
      file(`${name}.csr`),
      "-subj",
      subject,
    ]);
    const signer = ["-CA", file("ca.crt"), "-CAkey", file("ca.key"), "-CAcreateserial"];
    const output = ["-out", file(`${name}.crt`), "-days", DAYS, "-extfile", file(`${name}.ext`)];
    openssl(["x509", "-req", "-in", file(`${name}.csr`), ...signer, ...output]);
  };
  const names = hosts.map((host) => (/^[0-9.]+$|:/.test(host) ? `IP:${host}` : `DNS:${host}`));
  sign("server", "/CN=kube-apiserver", `subjectAltName=${names.join(",")}\n`);
  sign("client", "/O=system:nodes/CN=system:node:twin", "extendedKeyUsage=clientAuth\n");
  return {
    caFile: file("ca.crt"),
    certFile: file("server.crt"),
    keyFile: file("server.key"),
    clientCertFile: file("client.crt"),
    clientKeyFile: file("client.key"),
  };
}

function openssl(args: readonly string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(["openssl", ...args], { stdout: "ignore", stderr: "pipe" });
  if (exitCode !== 0) throw new Error(`openssl ${args[0]} failed: ${stderr}`);
}
