// Functions that defer another one, in every place where the package lets them, and what passes sessions on.
import { createDefer } from "inngest/experimental";

export function defers(client, define) {
  // What it was given reaches the test as an event.
  const later = createDefer(client, { id: "later", retries: 0 }, async ({ event, step, parents, sessions }) => {
    const parent = parents[0].fnSlug;
    await step.sendEvent("tell", { name: `${client.id}/deferred`, data: { ...event.data, parent, sessions: sessions ?? null } });
    return "deferred";
  });
  const told = define("sessions-told", ({ sessions }) => sessions ?? null, { triggers: [{ event: "js/never-sent" }] });
  return [
    later,
    told,
    define("defer-top", async ({ step, defer }) => {
      defer("d", { function: later, data: { n: 1 } });
      return [await step.run("a", () => 1), await step.run("b", () => 2)];
    }),
    define("defer-in-step", async ({ step, defer }) =>
      step.run("a", () => (defer("d", { function: later, data: { n: 2 } }), 1)),
    ),
    define("defer-no-steps", ({ defer }) => (defer("d", { function: later, data: { n: 3 } }), "ok")),
    define("defer-end", async ({ step, defer }) => {
      const value = await step.run("d", () => 1);
      defer("d", { function: later, data: { n: 4 } });
      return value;
    }),
    define("defer-sleep", async ({ step, defer }) => {
      defer("d", { function: later, data: { n: 5 } });
      await step.sleep("s", "1s");
      return "ok";
    }),
    define("defer-fails", ({ defer }) => {
      defer("d", { function: later, data: { n: 6 } });
      throw new Error("broken");
    }),
    define("defer-abort", async ({ step, defer }) => {
      const handle = defer("d", { function: later, data: { n: 7 } });
      await step.run("a", () => 1);
      handle.abort();
      return step.run("b", () => "aborted");
    }),
    define("sessions", async ({ step, sessions }) => [
      sessions,
      await step.invoke("call", { function: told, data: {} }),
    ]),
  ];
}
