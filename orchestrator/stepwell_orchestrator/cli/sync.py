"""``stepwell sync``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stepwell_orchestrator.cli.client import connected
from stepwell_orchestrator.cli.errors import usage_error
from stepwell_orchestrator.cli.options import AsJson, Url
from stepwell_orchestrator.cli.settings import Server, read_server
from stepwell_orchestrator.cli.terminal import glyphs, print_json, standard_output

if TYPE_CHECKING:
    from stepwell_orchestrator.aws.deployed_stack import DeployedStack

EPILOG = """Example:

  stepwell sync http://127.0.0.1:3000/api/inngest
  stepwell sync my-functions --stack stepwell"""


def sync(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="The URL at which an app serves its functions. With --stack also a Lambda function, by name or ARN.",
        ),
    ],
    stack: Annotated[
        str | None,
        typer.Option(
            "--stack",
            help="Register it with this deployed stack, with your own AWS credentials.",
            show_default=False,
            metavar="NAME",
        ),
    ] = None,
    path: Annotated[
        str | None,
        typer.Option(
            "--path",
            help="Where a Lambda function serves the app. Default: /api/stepwell.",
            show_default=False,
            metavar="PATH",
        ),
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Have an app register its functions: with the server it is configured for, or with a deployed stack.

    Exit codes: 0 registered, 1 refused or no app there, 2 wrong arguments.
    """
    if stack is not None:
        body = asyncio.run(_deployed_stack(stack).sync(_in_stack(target, path)))
    else:
        _check(target, path)
        body = asyncio.run(_sync(read_server(url), target))
    if as_json:
        print_json(body)
        return
    console = standard_output()
    outcome = "has not changed" if body.get("modified") is False else "is registered"
    console.print(f"{glyphs(console).done} the app at {target} {outcome}", soft_wrap=True)


def _deployed_stack(name: str) -> DeployedStack:
    """Imported when it is asked for: most commands have nothing to do with AWS."""
    from stepwell_orchestrator.aws.clients import Clients
    from stepwell_orchestrator.aws.deployed_stack import DeployedStack

    return DeployedStack(name, Clients())


def _in_stack(target: str, path: str | None) -> dict[str, str]:
    """What the stack is asked to register."""
    if _is_url(target):
        if path is not None:
            raise usage_error("--path is for Lambda functions; a URL has its path in it")
        return {"url": target}
    return {"function": target, **({} if path is None else {"path": path})}


def _check(target: str, path: str | None) -> None:
    if path is not None:
        raise usage_error("--path is for Lambda functions, which are registered with --stack")
    if not _is_url(target):
        raise usage_error(
            f'"{target}" is not a URL; `stepwell dev {target}` loads a module and registers it itself, '
            f"and `stepwell sync {target} --stack NAME` registers a Lambda function of that name"
        )


def _is_url(target: str) -> bool:
    return target.startswith(("http://", "https://"))


async def _sync(server: Server, target: str) -> dict[str, Any]:
    async with connected(server) as client:
        return await client.sync(target)
