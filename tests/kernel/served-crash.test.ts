import { runServed } from "./served-path.ts";

await runServed("crash");
