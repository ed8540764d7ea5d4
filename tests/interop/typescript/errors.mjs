// Everything that can go wrong, and what a function makes of it.
import { NonRetriableError, RetryAfterError } from "inngest";
import { errorOf } from "./results.mjs";

/** Fails until it was called `times` times for a run. */
const calls = new Map();
function failing(runId, times, error) {
  const count = (calls.get(runId) ?? 0) + 1;
  calls.set(runId, count);
  if (count < times) throw error;
  return count;
}

export function errors(client, define) {
  return [
    define("step-retried", ({ step, runId }) => step.run("flaky", () => failing(runId, 3, new Error("not yet"))), {
      retries: 2,
    }),
    define("function-retried", ({ attempt }) => {
      if (attempt < 2) throw new Error("not yet");
      return attempt;
    }, { retries: 2 }),
    define("retry-after", ({ step, runId }) =>
      step.run("later", () => failing(runId, 2, new RetryAfterError("busy", 1000))), { retries: 1 }),
    define("caught", async ({ step }) => {
      const failed = await errorOf(step.run("doomed", () => { throw new RangeError("too far"); }));
      return [failed, await step.run("after", () => "went on")];
    }, { retries: 1 }),
    define("caught-final", ({ step }) =>
      errorOf(step.run("final", () => { throw new NonRetriableError("never"); })), { retries: 5 }),
    define("uncaught", ({ step }) => step.run("doomed", () => { throw new RangeError("too far"); })),
    define("final", () => { throw new NonRetriableError("never", { cause: new Error("the reason") }); }, { retries: 5 }),
    define("hooked", () => { throw new TypeError("to the hook"); }, {
      onFailure: async ({ event, error, step }) => {
        const { function_id, run_id, event: original } = event.data;
        const data = { function_id, run_id, original: original.data, error: [error.name, error.message] };
        await step.sendEvent("tell", { name: `${client.id}/hooked-told`, data });
      },
    }),
  ];
}
