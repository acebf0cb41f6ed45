/**
 * Does `work`, which may hold this thread (messages to the kernel), beside what has just been called and goes on in another
 * program (null: nothing). That gets its turn first, so that the program is started; both are waited for, whatever fails.
 */
export async function beside(
  called: Promise<unknown> | null,
  work: () => Promise<unknown>,
): Promise<{ readonly work: PromiseSettledResult<unknown>; readonly called: PromiseSettledResult<unknown> }> {
  if (called !== null) await new Promise(setImmediate);
  const [own, other] = await Promise.allSettled([work(), called]);
  return { work: own, called: other };
}
