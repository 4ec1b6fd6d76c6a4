"""`rover/trust`, a method outside of MCP. It is for the command line and not a tool, so that no
model can consent to what a repository asks for."""

from __future__ import annotations

from typing import Any, Literal

import anyio.to_thread
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, METHOD_NOT_FOUND, RequestParams

from rover_mcp.config.project_asks import digest_of_all
from rover_mcp.domain.errors import RoverError, UserFixable
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.create import CreateTask

METHOD = "rover/trust"


class TrustParams(RequestParams):
    """`grant` names the digest that `show` returned: a person consents to what they were shown."""

    action: Literal["show", "grant", "revoke"] = "show"
    repo_path: str | None = None
    base_branch: str | None = None
    digest: str | None = None


async def trust(create: CreateTask, caller: Caller, params: TrustParams) -> dict[str, Any]:
    """What a repository asks for and who has consented to it, or what was changed about that."""
    if caller.user is not None:
        raise MCPError(METHOD_NOT_FOUND, "only the user of this machine can trust a project")
    try:
        return await anyio.to_thread.run_sync(_trust, create, caller, params)
    except RoverError as error:
        data = {"code": error.code, "hint": error.hint}
        raise MCPError(INVALID_PARAMS, error.message, data) from error


def _trust(create: CreateTask, caller: Caller, params: TrustParams) -> dict[str, Any]:
    repository = create.repositories.inspect(caller.folder(params.repo_path))
    consents, root = create.trust.consents, repository.root
    if params.action == "revoke":
        return {"path": str(root), "revoked": consents.forget(root)}
    base = params.base_branch
    commit = create.repositories.resolve(repository, base) if base else repository.base_commit
    asks = create.trust.all_asks(repository, commit)
    digest = digest_of_all(asks)
    if params.action == "grant":
        _check(caller, digest, params.digest)
        consents.write(root, asks)
    views = [{**vars(view), "line": view.line} for view in consents.views(root, asks)]
    return {"path": str(root), "digest": digest, "asks": views}


def _check(caller: Caller, digest: str, shown: str | None) -> None:
    """Check that a person consents, and to what is there now.

    Raises:
        UserFixable: no person does, or it has changed since it was shown.
    """
    if not caller.terminal:
        raise UserFixable(
            "only a person at a terminal can trust a project",
            code="no_terminal",
            hint="run rover trust at a terminal, or write trusted_projects into config.yaml",
        )
    # Somebody may have changed a file between the moment when the terminal printed it and the
    # answer.
    if shown != digest:
        raise UserFixable(
            "what the repository asks for has changed since it was shown",
            code="changed",
            hint="run rover trust again",
        )
