import { createWasmPool } from "../../../src/wasm/pool.ts";
import { createTwinPool } from "../../twin/pool.ts";
import { describePoolContract } from "./pool-contract.ts";

describePoolContract("WASM pool", createWasmPool);
describePoolContract("twin pool", createTwinPool);
