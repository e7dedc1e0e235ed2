/** What a promise came to, without waiting for it. */
export interface Outcome {
  value: 'pending' | 'done' | Error;
}

/** Watches a promise; its rejection is handled then. */
export function outcome(promise: Promise<unknown>): Outcome {
  const result: Outcome = { value: 'pending' };
  promise.then(
    () => {
      result.value = 'done';
    },
    (error: Error) => {
      result.value = error;
    },
  );
  return result;
}
