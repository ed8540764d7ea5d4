// What a test can compare.

/** A step's error as user code sees it. */
export async function errorOf(promise) {
  try {
    return { resolved: await promise };
  } catch (error) {
    return [error.name, error.message];
  }
}
