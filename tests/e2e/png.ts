import { inflateSync } from "node:zlib";

/** A picture: a pixel is red, green and blue as `#rrggbb`. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  pixel(x: number, y: number): string;
}

const SIGNATURE = "89504e470d0a1a0a";

/** Reads a PNG of 8 bits a channel, RGB or RGBA, not interlaced: as Chromium writes it (RFC 2083). */
export function readPng(bytes: Buffer): Picture {
  if (bytes.subarray(0, 8).toString("hex") !== SIGNATURE) throw new Error("no PNG");
  const [width, height] = [bytes.readUInt32BE(16), bytes.readUInt32BE(20)];
  const [depth, colour, interlace] = [bytes[24], bytes[25], bytes[28]];
  if (depth !== 8 || (colour !== 2 && colour !== 6) || interlace !== 0)
    throw new Error("another kind of PNG");
  const parts: Buffer[] = [];
  for (let at = 8; at < bytes.length; at += 12 + bytes.readUInt32BE(at)) {
    if (bytes.toString("latin1", at + 4, at + 8) !== "IDAT") continue;
    parts.push(bytes.subarray(at + 8, at + 8 + bytes.readUInt32BE(at)));
  }
  const channels = colour === 2 ? 3 : 4;
  const rows = unfilter(inflateSync(Buffer.concat(parts)), width * channels, height, channels);
  return {
    width,
    height,
    pixel: (x, y) => {
      const at = y * width * channels + x * channels;
      return `#${rows.subarray(at, at + 3).toString("hex")}`;
    },
  };
}

/** Each row is told by the difference to its neighbours, in one of five ways (RFC 2083 §6). */
function unfilter(data: Buffer, stride: number, height: number, channels: number): Buffer {
  const rows = Buffer.alloc(stride * height);
  for (let y = 0; y < height; y += 1) {
    const kind = data[y * (stride + 1)] ?? 0;
    for (let x = 0; x < stride; x += 1) {
      const at = y * stride + x;
      const left = x >= channels ? (rows[at - channels] ?? 0) : 0;
      const up = y > 0 ? (rows[at - stride] ?? 0) : 0;
      const corner = x >= channels && y > 0 ? (rows[at - stride - channels] ?? 0) : 0;
      const guess = [0, left, up, (left + up) >> 1, paeth(left, up, corner)][kind] ?? 0;
      rows[at] = ((data[y * (stride + 1) + 1 + x] ?? 0) + guess) & 255;
    }
  }
  return rows;
}

function paeth(left: number, up: number, corner: number): number {
  const sum = left + up - corner;
  const [toLeft, toUp, toCorner] = [Math.abs(sum - left), Math.abs(sum - up), Math.abs(sum - corner)];
  if (toLeft <= toUp && toLeft <= toCorner) return left;
  return toUp <= toCorner ? up : corner;
}
