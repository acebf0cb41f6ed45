import { runServed } from "./served-agent.ts";

await runServed("faults-storm");
