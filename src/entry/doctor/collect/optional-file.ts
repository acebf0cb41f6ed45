import { type DoctorContext, readHostFile } from "./context.ts";

/** The text of a host's file; empty where there is none, or it can't be read: it would only have told more. */
export function readOptionalFile(context: DoctorContext, path: string): string {
  try {
    return readHostFile(context, path) ?? "";
  } catch {
    return "";
  }
}
