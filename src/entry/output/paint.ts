/** Marks for a terminal; plain text when colour is off. */
export interface Paint {
  readonly good: (text: string) => string;
  readonly warn: (text: string) => string;
  readonly bad: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly bold: (text: string) => string;
}

/** ANSI colours, or none. */
export function createPaint(isColoured: boolean): Paint {
  const paint = (code: number) => (text: string) => (isColoured ? `\x1b[${code}m${text}\x1b[0m` : text);
  return { good: paint(32), warn: paint(33), bad: paint(31), dim: paint(2), bold: paint(1) };
}
