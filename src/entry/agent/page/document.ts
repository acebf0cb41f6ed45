import map from "./map.js" with { type: "text" };
import style from "./page.css" with { type: "text" };
import template from "./page.html" with { type: "text" };
import page from "./page.js" with { type: "text" };
import parts from "./parts.js" with { type: "text" };

/** One page that is all there is to it, and the headers it goes out with. */
export interface PageDocument {
  readonly html: string;
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * The page with its style and script inside. The browser may run these two by their hashes alone and ask nobody but us
 * (CSP level 3): what a hostile Node name might smuggle in as markup would still do nothing.
 */
export function createDocument(): PageDocument {
  const script = `"use strict";\n${[parts, map, page].map(withoutModules).join("\n")}`;
  // Bun's types know of HTML only as a bundle; imported as text it is a text. As functions: `$` means nothing here.
  const html = String(template)
    .replace("/*STYLE*/", () => style)
    .replace("/*SCRIPT*/", () => script);
  const policy = [
    "default-src 'none'",
    `script-src ${hashOf(script)}`,
    `style-src ${hashOf(style)}`,
    "connect-src 'self'",
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
  ];
  const headers = { ...SAFE_HEADERS, "content-security-policy": policy.join("; ") };
  return { html, headers };
}

/** One after the other the modules are one script: what they import from each other is there already. */
function withoutModules(text: string): string {
  return text.replace(/^import\s[^;]*;\n/gm, "").replace(/^export /gm, "");
}

/** For everything that is answered: nobody may take it for something else, frame it, or read it from another site. */
export const SAFE_HEADERS: Readonly<Record<string, string>> = {
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
  "cross-origin-opener-policy": "same-origin",
};

function hashOf(text: string): string {
  return `'sha256-${new Bun.CryptoHasher("sha256").update(text).digest("base64")}'`;
}
