import { createMapRouteDiff } from "../../../src/entry/bench/routes/map.ts";
import { createTwinRouteDiff } from "../../../src/entry/bench/routes/twin.ts";
import { createRouteDiff } from "../../../src/wasm/routes.ts";
import { describeRouteDiffContract } from "./routes-contract.ts";

describeRouteDiffContract("WASM route diff", createRouteDiff);
describeRouteDiffContract("twin route diff", createTwinRouteDiff);
describeRouteDiffContract("oracle route diff", createMapRouteDiff);
