"""Skills over MCP (SEP-2640): the skill that teaches a model to delegate, for its host. The files
are those of the plugin. It is not a tool, so no model pays for it with its context."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, RequestParams, Resource, TextResourceContents
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from rover_mcp.server.constant_answers import KEPT_MS

EXTENSION: Final = "io.modelcontextprotocol/skills"
ROOT: Final = "skill://rover"
"""The prefix of Rover's skills: another server may use the same names."""
MAIN: Final = "SKILL.md"
MARKDOWN: Final = "text/markdown"
Context = ServerRequestContext[Any, Any]


class ListSkillsParams(RequestParams):
    """All skills are on one page, so Rover never produces a cursor."""

    cursor: str | None = None


class GetSkillParams(RequestParams):
    """`uri` is that of a skill's SKILL.md."""

    uri: str


@dataclass(frozen=True)
class Skill:
    """A folder with a SKILL.md. `files` are the contents, by their addresses."""

    uri: str
    frontmatter: Mapping[str, Any]
    files: Mapping[str, bytes]

    def entry(self) -> dict[str, Any]:
        """The skill as `skills/list` and `skills/get` return it."""
        resources = [
            {
                "uri": uri,
                "digest": f"sha256:{hashlib.sha256(content).hexdigest()}",
                "size": len(content),
            }
            for uri, content in self.files.items()
        ]
        return {"uri": self.uri, "frontmatter": dict(self.frontmatter), "resources": resources}

    def resource(self) -> Resource:
        """The skill's SKILL.md among a server's resources."""
        return Resource(
            name=str(self.frontmatter["name"]),
            uri=self.uri,
            description=str(self.frontmatter["description"]),
            mime_type=MARKDOWN,
        )


def skill_in(folder: Path) -> Skill:
    """The skill in a folder, which has the skill's name."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    root = f"{ROOT}/{folder.name}"
    files = {f"{root}/{path.relative_to(folder).as_posix()}": path.read_bytes() for path in paths}
    main = f"{root}/{MAIN}"
    _, head, _ = files[main].decode().split("---\n", 2)
    return Skill(main, yaml.safe_load(head), files)


@functools.cache
def skills() -> Mapping[str, Skill]:
    """The skills that this installation contains, by their addresses."""
    package = Path(__file__).parents[1]
    installed = package / "builtin_skills"
    folder = installed if installed.is_dir() else package.parent / "plugins" / "rover" / "skills"
    listed = [skill_in(path.parent) for path in sorted(folder.glob(f"*/{MAIN}"))]
    return {skill.uri: skill for skill in listed}


def skill_file(uri: str) -> TextResourceContents | None:
    """A file of a skill; None where there is none at this address."""
    for skill in skills().values():
        if (content := skill.files.get(uri)) is not None:
            mime_type = MARKDOWN if uri.endswith(".md") else "text/plain"
            return TextResourceContents(uri=uri, mime_type=mime_type, text=content.decode())
    return None


async def list_skills(ctx: Context, params: ListSkillsParams) -> dict[str, Any]:
    """Answers `skills/list`."""
    if params.cursor is not None:
        raise MCPError(INVALID_PARAMS, "there is no such cursor: all skills are on one page")
    return _answer(ctx, skills=[skill.entry() for skill in skills().values()])


async def get_skill(ctx: Context, params: GetSkillParams) -> dict[str, Any]:
    """Answers `skills/get`."""
    skill = skills().get(params.uri)
    if skill is None:
        raise MCPError(INVALID_PARAMS, "there is no such skill", {"uri": params.uri[:300]})
    return _answer(ctx, skill=skill.entry())


def serve_skills(server: Server[Any]) -> None:
    """Serve both methods, in both protocol eras: a client of an older era does not learn of
    extensions when it connects, but it may ask."""
    server.add_request_handler("skills/list", ListSkillsParams, list_skills)
    server.add_request_handler("skills/get", GetSkillParams, get_skill)
    server.extensions[EXTENSION] = {}


def _answer(ctx: Context, **fields: Any) -> dict[str, Any]:
    if ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        return fields
    # Whom a server serves is no matter: every user of this version is given the same.
    return {"resultType": "complete", **fields, "ttlMs": KEPT_MS, "cacheScope": "public"}
