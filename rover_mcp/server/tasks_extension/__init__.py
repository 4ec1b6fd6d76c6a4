"""The Tasks extension of MCP, `io.modelcontextprotocol/tasks` (SEP-2663), for servers on the SDK.

It knows nothing about Rover. A server implements a `TaskSource`, which stores tasks. It passes the
`TasksExtension` to `install` (for a low-level `Server`) or to `MCPServer(extensions=[...])`, and
lets a `TasksListenHandler` serve `subscriptions/listen`. A tool that started a task says so in its
result, under `RECEIPT` in `_meta`; a client that declared the extension gets a handle in its place.
"""

from rover_mcp.server.tasks_extension.extension import TasksExtension, install
from rover_mcp.server.tasks_extension.listen import TasksListenHandler
from rover_mcp.server.tasks_extension.protocol import (
    EXTENSION,
    RECEIPT,
    Task,
    TaskSource,
    TaskState,
)

__all__ = [
    "EXTENSION",
    "RECEIPT",
    "Task",
    "TaskSource",
    "TaskState",
    "TasksExtension",
    "TasksListenHandler",
    "install",
]
