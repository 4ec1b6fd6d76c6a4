"""Finds the repository among a client's roots, for a call that names none and comes from outside of
any.

Programs with a window start servers in / or in HOME, and report the folders that the user has
opened as roots. In 2026-07-28 the client is asked by a result that requires input and a repeated
call, before that by a request. A root is data: Rover only looks for it as a folder on this machine,
and whatever is done there needs the same consent as anywhere else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import anyio
import anyio.to_thread
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolRequestParams, InputRequiredResult, ListRootsRequest, ListRootsResult
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from rover_mcp.domain.errors import RoverError, UserFixable
from rover_mcp.server.arguments import Arguments
from rover_mcp.server.results import Result
from rover_mcp.server.session import ClientSession
from rover_mcp.server.tasks_extension.protocol import Context
from rover_mcp.tasks.folder_argument import folder_of
from rover_mcp.tasks.task_ports import Repositories

KEY = "roots"
MOST_ROOTS = 50
ANSWER_SECONDS = 15.0
"""How long a client of the older era may take to report its roots; no person is involved, but the
machine may be busy."""


Run = Callable[[Arguments], Awaitable[Result | InputRequiredResult]]


async def run_where_a_repository_is(
    ctx: Context,
    params: CallToolRequestParams,
    session: ClientSession,
    arguments: Arguments,
    run: Run,
    repositories: Repositories,
) -> Result | InputRequiredResult:
    """Run a call in the repository that it names, else in the one around the caller's folder, else
    in the one that the client has open. A result may require input: see `repository_of_client`.

    Raises:
        RoverError: whatever the call raises, or there is no such repository ("no_repository").
    """
    try:
        return await run(arguments)
    except UserFixable as error:
        named = getattr(arguments, "repo_path", None)
        if error.code != "no_repository" or named or session.caller.user is not None:
            raise
        none_here = error
    # A repeated call answers the last question only.
    root, session.root = session.root, None
    if root is None:
        root = await repository_of_client(ctx, params, none_here, repositories)
    if isinstance(root, InputRequiredResult):
        return root
    result = await run(arguments.model_copy(update={"repo_path": root}))
    if isinstance(result, InputRequiredResult):
        session.root = root
    return result


async def repository_of_client(
    ctx: Context,
    params: CallToolRequestParams,
    none_here: UserFixable,
    repositories: Repositories,
) -> str | InputRequiredResult:
    """The only repository among the client's roots. A result: the client has to be asked first and
    then repeats the call. `none_here` is the error that the caller's own folder is in no
    repository.

    Raises:
        UserFixable: the client reports no roots, none of them is in a repository, or several are,
            which the hint then lists.
    """
    capabilities = ctx.session.client_capabilities
    if capabilities is None or capabilities.roots is None:
        raise none_here
    if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
        response = (params.input_responses or {}).get(KEY)
        if not isinstance(response, ListRootsResult):
            return InputRequiredResult(input_requests={KEY: ListRootsRequest()})
    else:
        response = await _list_roots(ctx, none_here)
    folders = [
        folder for root in response.roots[:MOST_ROOTS] if (folder := folder_of(str(root.uri)))
    ]
    roots = await anyio.to_thread.run_sync(_repositories, folders, repositories)
    if len(roots) == 1:
        return roots[0]
    if not roots:
        raise none_here
    raise UserFixable(
        f"{none_here.message}, and several of your client's roots are",
        code=none_here.code,
        hint=f"give one of these as repo_path: {', '.join(roots)}",
    )


async def _list_roots(ctx: Context, none_here: UserFixable) -> ListRootsResult:
    try:
        # Some clients declare roots and never answer the request for them.
        with anyio.fail_after(ANSWER_SECONDS):
            # Deprecated with 2026-07-28, and what clients of the older era have.
            return await ctx.session.list_roots()  # pyright: ignore[reportDeprecated]
    except (MCPError, TimeoutError) as error:
        raise none_here from error


# A window may have several folders of one repository open.
def _repositories(folders: Sequence[Path], repositories: Repositories) -> list[str]:
    """The repositories around the folders, each once, in the client's order."""
    roots: dict[str, None] = {}
    for folder in folders:
        try:
            roots[str(repositories.inspect(folder).root)] = None
        except RoverError:
            continue
    return list(roots)
