"""The MCP server: offers the tools of `mcp_tools` to an assistant over standard input and output (extra `[mcp]`)."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations

from tracker.cli.mcp_tools import TOOLS, UsageTools
from tracker.errors import TrackerError
from tracker.reports import Reader

P = ParamSpec("P")
T = TypeVar("T")

_INSTRUCTIONS = (
    "Token usage and cost of AI calls that were recorded in this PostgreSQL database. All tools only read. An amount is"
    " in US dollars; a call without a price is counted in unpriced_calls and never costs 0."
)


def create_server(reader: Reader) -> MCPServer:
    """The server with all tools, which read with `reader`."""
    server: MCPServer = MCPServer("token-tracker", instructions=_INSTRUCTIONS, log_level="WARNING")
    tools = UsageTools(reader)
    for name in TOOLS:
        annotations = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True)
        server.add_tool(_with_tool_errors(getattr(tools, name)), name=name, annotations=annotations)
    return server


def _with_tool_errors(tool: Callable[P, T]) -> Callable[P, T]:
    """The tool with errors that the assistant can read: the cause and the remedy, without a traceback."""

    @wraps(tool)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return tool(*args, **kwargs)
        except TrackerError as error:
            raise ToolError(str(error)) from None

    return run
