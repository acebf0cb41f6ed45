/** Letters that may be wrong in a short and in a long word. */
const MOST_WRONG = 3;
/** A word of which less is right is another word. */
const LEAST_RIGHT = 0.4;

/**
 * The known words that somebody may have meant, nearest first: those with the least number of letters added, left out,
 * changed or swapped (Damerau–Levenshtein, optimal string alignment), as commander counts for options and commands below
 * a command. Empty when nothing is near.
 */
export function similarTo(word: string, known: readonly string[]): string[] {
  const near = known
    .map((other) => ({ other, wrong: distance(word, other) }))
    .filter(({ other, wrong }) => {
      const length = Math.max(word.length, other.length);
      return wrong <= MOST_WRONG && (length - wrong) / length > LEAST_RIGHT;
    });
  const least = Math.min(...near.map(({ wrong }) => wrong));
  return near
    .filter(({ wrong }) => wrong === least)
    .map(({ other }) => other)
    .sort();
}

function distance(one: string, other: string): number {
  const rows = Array.from({ length: one.length + 1 }, (_, i) =>
    Array.from({ length: other.length + 1 }, (_value, j) => (i === 0 ? j : j === 0 ? i : 0)),
  );
  const at = (i: number, j: number) => rows[i]?.[j] ?? 0;
  for (let i = 1; i <= one.length; i++) {
    for (let j = 1; j <= other.length; j++) {
      const isSame = one[i - 1] === other[j - 1];
      const isSwapped = one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1];
      const best = Math.min(at(i - 1, j) + 1, at(i, j - 1) + 1, at(i - 1, j - 1) + (isSame ? 0 : 1));
      const row = rows[i];
      if (row !== undefined)
        row[j] = i > 1 && j > 1 && isSwapped ? Math.min(best, at(i - 2, j - 2) + 1) : best;
    }
  }
  return at(one.length, other.length);
}
