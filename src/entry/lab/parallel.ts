/**
 * Runs `work` for every item, at most `limit` at once; the results in the order of the items. All that was begun ends
 * before the first error is thrown, so that nothing runs on behind the caller's back; after an error nothing is begun.
 */
export async function inParallel<T, R>(
  items: readonly T[],
  limit: number,
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const results = new Map<number, R>();
  const errors: unknown[] = [];
  const queue = items.entries();
  const run = async () => {
    for (const [index, item] of queue) {
      try {
        results.set(index, await work(item));
      } catch (error) {
        errors.push(error);
      }
      if (errors.length > 0) return;
    }
  };
  await Promise.all(Array.from({ length: limit }, run));
  if (errors.length > 0) throw errors[0];
  return [...results.entries()].sort(([a], [b]) => a - b).map(([, result]) => result);
}
