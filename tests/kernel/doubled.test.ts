import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { destroySandboxes, type Json, NOTHING, Sandbox } from "./sandbox.ts";

setDefaultTimeout(60_000);
afterAll(destroySandboxes);

const PORTS = { portMappings: [{ hostPort: 8080, containerPort: 80 }] };
const LIMITS = { bandwidth: { ingressRate: 1_000_000, ingressBurst: 1_000_000 } };

/** A list in which ours and another plugin declare a capability; returns how a runtime would call ours. */
function boxWith(capability: string, plugin: string): { box: Sandbox; env: Record<string, string> } {
  const box = new Sandbox();
  const folder = `${box.dir}/net.d`;
  mkdirSync(folder);
  const capabilities = { [capability]: true };
  const plugins = [
    { type: "minicni", capabilities },
    { type: plugin, capabilities },
  ];
  writeFileSync(
    `${folder}/10-pods.conflist`,
    JSON.stringify({ cniVersion: "1.0.0", name: box.conf().name, plugins }),
  );
  return { box, env: { MINICNI_CONF_DIR: folder } };
}

test.each([
  ["portMappings", "portmap", PORTS],
  ["bandwidth", "bandwidth", LIMITS],
])(
  "%s for ours and for %s: a pod that asks is refused with the way out, and nothing is left",
  (capability, plugin, runtimeConfig) => {
    const { box, env } = boxWith(capability, plugin);
    const done = box.call("ADD", box.pod(), box.conf({ runtimeConfig }), env);
    const { code, msg, details } = JSON.parse(done.stdout);
    expect(code).toBe(7);
    expect(msg).toContain(
      `10-pods.conflist declares the capability ${capability} for minicni and for ${plugin}`,
    );
    expect(details).toContain("take the capability from one of them");
    expect(box.leftovers()).toEqual(NOTHING);
  },
);

test("a pod that asks for neither is attached, and so is one that asks for what one plugin alone declares", () => {
  const { box, env } = boxWith("portMappings", "portmap");
  for (const more of [{}, { runtimeConfig: LIMITS }] satisfies Json[]) {
    expect(box.call("ADD", box.pod(), box.conf(more), env)).toMatchObject({ exitCode: 0 });
  }
});
