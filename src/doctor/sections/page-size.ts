import * as v from "valibot";

/** How large the kernel's pages of memory are. */
export const PageSizeSchema = v.object({
  /** Bytes. */
  bytes: v.number(),
});
export type PageSize = v.InferOutput<typeof PageSizeSchema>;
