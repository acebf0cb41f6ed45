import { runServed } from "./served-path.ts";

await runServed("attach");
