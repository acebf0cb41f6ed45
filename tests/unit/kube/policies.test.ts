import { afterEach, describe, expect, test } from "bun:test";
import { openConnection } from "../../../src/kube/connection.ts";
import { askPolicies } from "../../../src/kube/policies.ts";
import { type ApiServer, type ApiServerOptions, startApiServer } from "../../twin/apiserver.ts";

const PATH = "/apis/networking.k8s.io/v1/networkpolicies";
const servers: ApiServer[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.stop();
});

async function serve(others?: ApiServerOptions["others"]) {
  const server = await startApiServer(others === undefined ? {} : { others });
  servers.push(server);
  return server;
}

const asked = (server: ApiServer, timeoutMs = 5_000) =>
  askPolicies(openConnection({ kubeconfig: server.kubeconfigPath(), env: {} }), timeoutMs);
const policy = { metadata: { namespace: "shop", name: "deny-all" }, spec: {} };

describe("NetworkPolicies", () => {
  test("are counted by one of them and what the API says is left", async () => {
    const server = await serve({ [PATH]: { metadata: { remainingItemCount: 6 }, items: [policy] } });
    expect(await asked(server)).toEqual({ count: 7, example: "shop/deny-all", fault: null });
    const [request] = server.requests;
    expect([request?.path, request?.query.get("limit")]).toEqual([PATH, "1"]);
  });

  test("that are none are none", async () => {
    const server = await serve({ [PATH]: { metadata: {}, items: [] } });
    expect(await asked(server)).toEqual({ count: 0, example: null, fault: null });
  });

  test.each<[string, Parameters<ApiServer["behave"]>[0], string]>([
    ["that we may not list", { status: 403 }, "may not list networkpolicies (403)"],
    ["that the API does not know", { status: 404 }, "the API has no networkpolicies (404)"],
    ["that come as something else", { text: "<html>" }, "no JSON"],
    ["that come as another object", { text: '{"kind":"Status"}' }, "no list of NetworkPolicies"],
    ["of a server that hangs", { hang: true }, "no answer within 0.2 s"],
  ])("%s are not known, and why", async (_what, misbehaviour, said) => {
    const server = await serve();
    server.behave(misbehaviour);
    const answer = await asked(server, misbehaviour.hang === true ? 200 : 5_000);
    expect(answer.count).toBeNull();
    expect(answer.fault).toContain(said);
  });
});
