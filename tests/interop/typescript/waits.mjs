// Whatever a run waits for: time, events, signals, other functions; and being cancelled meanwhile.
import { referenceFunction } from "inngest";
import { errorOf } from "./results.mjs";

export function waits(client, define) {
  const never = { triggers: [{ event: "js/never-sent" }] };
  const double = define("double", ({ event }) => event.data.n * 2, never);
  const broken = define("broken", () => { throw new SyntaxError("broken child"); }, never);
  const slow = define("slow", ({ step }) => step.sleep("long", "1d"), never);
  const same = define("same", ({ event }) => event.data.n, never);
  return [
    double,
    broken,
    slow,
    define("sleep", async ({ step }) => {
      await step.sleep("short", "1s");
      await step.sleepUntil("until", new Date(Date.now() + 300));
      await step.sleepUntil("past", "2020-01-01T00:00:00Z");
      return "awake";
    }),
    define("wait", async ({ step }) => {
      const match = await step.waitForEvent("match", { event: `${client.id}/paid`, match: "data.user", timeout: "1h" });
      const timedOut = await step.waitForEvent("if", {
        event: `${client.id}/paid`, if: "async.data.user == 'nobody'", timeout: "1s",
      });
      return [match.data, timedOut];
    }),
    define("signal", async ({ step }) => {
      const got = await step.waitForSignal("wait", { signal: `${client.id}-signal`, timeout: "1h", onConflict: "fail" });
      const none = await step.waitForSignal("none", { signal: `${client.id}-none`, timeout: "1s", onConflict: "fail" });
      return [got, none];
    }),
    same,
    define("large", async ({ event, step }) => {
      const given = await step.run("step", () => event.data.n);
      const invoked = await step.invoke("invoke", { function: same, data: { n: event.data.n } });
      const got = await step.waitForSignal("wait", { signal: `${client.id}-large`, timeout: "1h", onConflict: "fail" });
      return [event.data.n, given, invoked, got.data.n];
    }),
    define("send-signal", async ({ event, step }) => {
      const told = await step.sendSignal("send", { signal: `${client.id}-signal`, data: { n: 1 } });
      return told.runId === event.data.waiter;
    }),
    define("invoke", async ({ step }) => [
      await step.invoke("object", { function: double, data: { n: 4 } }),
      await step.invoke("reference", {
        function: referenceFunction({ appId: client.id, functionId: "double" }), data: { n: 5 },
      }),
      await errorOf(step.invoke("broken", { function: broken })),
      await errorOf(step.invoke("slow", { function: slow, timeout: "1s" })),
      await errorOf(step.invoke("unknown", { function: referenceFunction({ appId: "no", functionId: "body" }) })),
    ]),
    define("cancellable", ({ step }) => step.sleep("long", "1d"), {
      cancelOn: [{ event: `${client.id}/stop`, if: "event.data.id == async.data.id" }],
    }),
  ];
}
