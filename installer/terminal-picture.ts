/**
 * A picture of what a terminal shows: reads text with colours (SGR 0, 1, 2, 31, 32, 33) on standard input, writes an SVG to
 * standard output. `bun installer/terminal-picture.ts "$ minicni status"`: the argument is the first line.
 */

/** Pixels of one character of a monospaced font of 13 pixels, and of a line. */
const CHARACTER = 7.8;
const LINE = 18;
const MARGIN = 14;

/** Classes of the picture's style by what a terminal is told. */
const CLASSES: Readonly<Record<string, string>> = { "1": "b", "2": "d", "31": "r", "32": "g", "33": "y" };

const STYLE = `
  .back { fill: #f6f8fa; stroke: #d0d7de } text { fill: #1f2328; font: 13px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; white-space: pre }
  .b { font-weight: bold } .d { fill: #656d76 } .r { fill: #cf222e } .g { fill: #1a7f37 } .y { fill: #9a6700 }
  @media (prefers-color-scheme: dark) {
    .back { fill: #0d1117; stroke: #30363d } text { fill: #e6edf3 }
    .d { fill: #8d96a0 } .r { fill: #ff7b72 } .g { fill: #3fb950 } .y { fill: #d29922 }
  }`;

/** The picture of these lines; `title` is what a screen reader says of it. */
export function formatPicture(text: string, title: string): string {
  const lines = text.replace(/\n$/, "").split("\n");
  const columns = Math.max(...lines.map((line) => Bun.stringWidth(line)));
  const width = Math.ceil(columns * CHARACTER) + 2 * MARGIN;
  const height = lines.length * LINE + 2 * MARGIN;
  const shown = lines.map((line, index) => {
    const y = MARGIN + index * LINE + 13;
    return `  <text x="${MARGIN}" y="${y}">${formatLine(line)}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">
  <title>${escapeXml(title)}</title>
  <style>${STYLE}
  </style>
  <rect class="back" x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="6"/>
${shown.join("\n")}
</svg>
`;
}

function formatLine(line: string): string {
  const [first = "", ...marked] = line.split("\x1b[");
  let name: string | undefined;
  const spans = marked.map((part) => {
    const end = part.indexOf("m");
    name = CLASSES[part.slice(0, end)];
    const text = escapeXml(part.slice(end + 1));
    return name === undefined || text === "" ? text : `<tspan class="${name}">${text}</tspan>`;
  });
  return escapeXml(first) + spans.join("");
}

function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

if (import.meta.main) {
  const [command = ""] = process.argv.slice(2);
  const text = `${command}\n${await Bun.stdin.text()}`;
  await Bun.write(Bun.stdout, formatPicture(text, `Output of ${command.replace(/^\$ /, "")}`));
}
