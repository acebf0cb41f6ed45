import { expect, test } from "bun:test";
import { formatPicture } from "../../../installer/terminal-picture.ts";

test("a picture has each line, colours as classes, and nothing that XML would take for its own", () => {
  const svg = formatPicture(
    "$ minicni status\n\x1b[31mFAIL\x1b[0m <none> & \x1b[1mbold\x1b[0m end\n",
    "status",
  );
  expect(svg).toContain('<text x="14" y="27">$ minicni status</text>');
  expect(svg).toContain(
    '<tspan class="r">FAIL</tspan> &lt;none&gt; &amp; <tspan class="b">bold</tspan> end</text>',
  );
  expect(svg).not.toContain("\x1b");
});

test("it is as wide as its longest line, and as high as its lines", () => {
  const [, width, height] =
    /width="(\d+)" height="(\d+)"/.exec(formatPicture(`${"x".repeat(100)}\ny\n`, "t")) ?? [];
  expect([Number(width), Number(height)]).toEqual([808, 64]);
});
