import type { PageSize } from "../../../doctor/sections/page-size.ts";
import { observePageSize } from "../../../host/page-size.ts";
import { Unseen } from "./context.ts";

/** The page size of the kernel that we run on. */
export function collectPageSize(): PageSize {
  const bytes = observePageSize();
  if (bytes === null) throw new Unseen("the kernel does not tell its page size (/proc/self/auxv)");
  return { bytes };
}
