/** Names of many things of one kind in a line: the first ones, and how many more. */
export function someOf(items: readonly string[], most = 4): string {
  const shown = items.slice(0, most).join(", ");
  return items.length > most ? `${shown} and ${items.length - most} more` : shown;
}

/** `1 peer`, `2 peers`; `many` where an s is not enough. */
export function countOf(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`;
}
