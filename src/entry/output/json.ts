/** The document of a command's `--json`: its kind and version first, so that a reader can see what it holds. */
export function formatJson(command: string, document: Readonly<Record<string, unknown>>): string {
  return `${JSON.stringify({ command, version: 1, ...document }, null, 2)}\n`;
}
