import { runServed } from "./served-path.ts";

await runServed("faults-ipam");
