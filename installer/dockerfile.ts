import type { ImageSettings } from "./oci.ts";

/**
 * Reads the settings of the image out of its Dockerfile, so that they are written once. Knows the few instructions that
 * file has, in the forms it has them; throws at any other.
 */
export function parseDockerfile(text: string): ImageSettings & { readonly copies: readonly string[] } {
  const entrypoint: string[] = [];
  const environment: string[] = [];
  const labels: Record<string, string> = {};
  const copies: string[] = [];
  for (const line of text.split("\n")) {
    const [, instruction = "", rest = ""] = /^([A-Z]+) (.*)$/.exec(line) ?? [];
    if (line === "" || line.startsWith("#") || instruction === "ARG" || line === "FROM scratch") continue;
    const [, key = "", value = ""] = /^([\w.]+)="([^"]*)"$/.exec(rest) ?? [];
    const source = /^\$\{TARGETARCH\}\/(\w+)\/ \/$/.exec(rest)?.[1];
    if (instruction === "LABEL" && key !== "") labels[key] = value;
    else if (instruction === "ENV" && key !== "") environment.push(`${key}=${value}`);
    else if (instruction === "COPY" && source !== undefined) copies.push(source);
    else if (instruction === "ENTRYPOINT") entrypoint.push(...words(rest));
    else throw new Error(`not understood: ${line}`);
  }
  return { entrypoint, environment, labels, copies };
}

function words(json: string): string[] {
  const list: unknown = JSON.parse(json);
  if (!Array.isArray(list)) throw new Error(`a list wanted: ${json}`);
  return list.map(String);
}
