import { runServed } from "./served-path.ts";

await runServed("host-ports-flows");
