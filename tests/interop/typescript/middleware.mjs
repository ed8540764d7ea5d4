// A middleware of the official kind: it adds to the context, and changes what a step and a function give.
import { Middleware } from "inngest";

export class Stamp extends Middleware.BaseMiddleware {
  id = "stamp";

  transformFunctionInput({ ctx, ...rest }) {
    return { ctx: { ...ctx, stamp: `stamped ${ctx.event.name.split("/")[1]}` }, ...rest };
  }
}
