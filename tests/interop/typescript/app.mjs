// Four apps of the official TypeScript package in one process, configured by the INNGEST_* variables as users do it.
// Each is the same functions on a client with other options; what they return is what a test expects.
import { createServer } from "node:http";
import { Inngest } from "inngest";
import { metadataMiddleware } from "inngest/experimental";
import { serve } from "inngest/node";
import { functions } from "./functions.mjs";
import { Stamp } from "./middleware.mjs";

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const common = { logger: quiet, middleware: [Stamp, metadataMiddleware()] };
const clients = [
  new Inngest({ ...common, id: "default" }),
  new Inngest({ ...common, id: "buffered", checkpointing: { bufferedSteps: 3, maxRuntime: "1m" } }),
  new Inngest({ ...common, id: "off", checkpointing: false }),
  new Inngest({ ...common, id: "plain", checkpointing: false, optimizeParallelism: false }),
];
const handlers = new Map(
  clients.map((client) => {
    const servePath = `/api/${client.id}`;
    return [servePath, serve({ client, functions: functions(client), servePath })];
  }),
);

const server = createServer((request, response) => {
  const handler = handlers.get(new URL(request.url, "http://app").pathname);
  if (handler) return handler(request, response);
  response.writeHead(404).end();
});
server.listen(0, "127.0.0.1", () => console.log(`listening on ${server.address().port}`));
// The parent holds the other end: the app ends with the tests, however they end.
process.stdin.on("end", () => process.exit(0)).resume();
