// The functions of each app. `<client>/<function>` starts a function; what it returns is what a test expects.
import { defers } from "./defers.mjs";
import { errors } from "./errors.mjs";
import { waits } from "./waits.mjs";

const MEGABYTE = 1024 * 1024;
const GATEWAY = process.env.GATEWAY_ORIGIN;

/** Defines a function that its own name starts: `define("steps", handler, options?)`. */
function definer(client) {
  return (id, handler, options = {}) =>
    client.createFunction({ id, triggers: [{ event: `${client.id}/${id}` }], retries: 0, ...options }, handler);
}

export function functions(client) {
  const define = definer(client);
  return [...steps(client, define), ...groups(define), ...outside(client, define), ...errors(client, define), ...waits(client, define), ...defers(client, define)];
}

function steps(client, define) {
  return [
    define("plain", ({ event }) => ({ event: event.data, nothing: null })),
    define("steps", async ({ step, stamp }) => {
      const first = await step.run("a", () => ({ n: 1, at: new Date(0) }));
      const second = await step.run("a", () => first.n + 1);
      const odd = await step.run({ id: "odd: ü/π?&=#%", name: "An odd one" }, (x, y) => x * y, 6, 7);
      const nothing = await step.run("nothing", () => undefined);
      return [first, second, odd, nothing, stamp];
    }),
    define("twenty", async ({ step }) => {
      let sum = 0;
      for (let n = 1; n <= 20; n++) sum += await step.run("add", () => n);
      return sum;
    }),
    define("noted", async ({ event, step }) => {
      await client.metadata.set({ n: event.data.n });
      await step.run("a", () => 1);
      return "noted";
    }),
    define("big", async ({ step }) => {
      const sizes = [];
      for (let n = 0; n < 10; n++) sizes.push((await step.run("megabyte", () => "x".repeat(MEGABYTE))).length);
      return sizes;
    }),
    define("two-triggers", ({ event }) => event.name, {
      triggers: [{ event: "js/either" }, { event: "js/or", if: "event.data.really" }],
    }),
  ];
}

const gates = new Map();
/** What the slow step of a run waits for: that the function has seen the quick one end. */
function gate(runId) {
  if (!gates.has(runId)) {
    const made = {};
    made.passed = new Promise((resolve) => (made.open = resolve));
    gates.set(runId, made);
  }
  return gates.get(runId);
}

function race(step, runId) {
  const { passed, open } = gate(runId);
  const quick = step.run("quick", () => "quick").then((value) => (open(), value));
  return Promise.race([step.run("slow", () => passed.then(() => "slow")), quick]);
}

function groups(define) {
  const three = (step) => [1, 2, 3].map((n) => step.run(`p${n}`, () => n));
  const chain = async (step, name) => {
    const first = await step.run(`${name}1`, () => name);
    return step.run(`${name}2`, () => first + first);
  };
  return [
    define("parallel", async ({ step }) => {
      const all = await Promise.all(three(step));
      return [all, await step.run("after", () => "x")];
    }),
    define("chains", ({ step }) => Promise.all([chain(step, "a"), chain(step, "b")])),
    define("mixed", async ({ step }) => {
      const slept = step.sleep("nap", "1s").then(() => "slept");
      const waited = step.waitForEvent("never", { event: "js/never", timeout: "1s" });
      return Promise.all([step.run("quick", () => "ran"), slept, waited]);
    }),
    define("race", ({ step, group, runId }) => group.parallel({ mode: "race" }, () => race(step, runId))),
    define("plain-race", ({ step, runId }) => race(step, runId)),
    define("settled", ({ step }) =>
      Promise.allSettled([
        step.run("good", () => 1),
        step.run("bad", () => {
          throw new TypeError("not this one");
        }),
      ]).then((all) => all.map(({ status, value, reason }) => value ?? `${status}: ${reason.name}`)),
    ),
  ];
}

function outside(client, define) {
  return [
    define("send", async ({ step }) => {
      const one = await step.sendEvent("one", { name: "js/sent", data: { from: client.id } });
      const two = await step.sendEvent("two", [{ name: "js/sent" }, { name: "js/sent" }]);
      return [one.ids.length, two.ids.length];
    }),
    define("send-one", ({ step }) => step.sendEvent("one", { name: "js/sent" })),
    define("fetch", async ({ step }) => {
      const found = await step.fetch(`${GATEWAY}/echo?x=1`, { method: "POST", body: "hello", headers: { "x-a": "b" } });
      const missing = await step.fetch(`${GATEWAY}/missing`);
      return [found.status, await found.json(), missing.status];
    }),
    define("infer", async ({ step }) => {
      const model = step.ai.models.openai({ model: "gpt-x", apiKey: "sk-secret", baseUrl: `${GATEWAY}/v1/` });
      const answer = await step.ai.infer("ask", { model, body: { messages: [{ role: "user", content: "hi" }] } });
      return answer.choices[0].message.content;
    }),
  ];
}

