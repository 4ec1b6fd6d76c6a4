"""Asks for what only a person can allow: with an error that says how to allow it, and a question
for that person. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from rover_mcp.config.devcontainer import PLACES
from rover_mcp.config.project_asks import digest_of
from rover_mcp.config.user_maximum import MaximumExceeded
from rover_mcp.domain.errors import NeedsConsent, UserFixable
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.quoted_text import printable
from rover_mcp.tasks.trust import AskView

LINE = 500
"""Characters that are shown of one thing."""
MOST_LINES = 30
"""With more things than this no form is shown: what is cut off at its end could be what matters."""
_INSTEAD = "project_config: ignore (rover create --project-config ignore) leaves it out"
_WITHOUT_DEVCONTAINER = (
    "devcontainer: off (rover create --devcontainer off) leaves out the devcontainer alone"
)


def check_consent(
    caller: Caller,
    config: Path,
    root: Path,
    wider: Sequence[MaximumExceeded],
    untrusted: Sequence[AskView],
    consent: str | None,
    *,
    can_do_without: bool = False,
) -> None:
    """Check that a call needs no consent, or that a person has given it. `config` is the user's
    config.yaml. `root` is the repository whose `untrusted` requests no one has consented to.
    `consent` is the digest of the question that a person said yes to. `can_do_without`: the task
    can be created without what is untrusted.

    Raises:
        NeedsConsent, UserFixable: no one has consented.
    """
    if not wider and not untrusted:
        return
    if caller.user is not None:
        raise _refused_over_http(root, wider, untrusted)
    digest = digest_of(
        str(root), [w.what for w in wider], [(a.name, a.shown, a.before) for a in untrusted]
    )
    # The digest covers the text of the question, so a consent never counts for something that was
    # added between the question and the repeated call.
    if digest == consent and all(one.askable for one in wider):
        return
    raise NeedsConsent(
        "; ".join([*_what_is_wider(wider), *_what_is_untrusted(untrusted)]),
        hint="; ".join([*_lines(config, wider), *_ways(root, untrusted)]),
        code="not_trusted" if untrusted else "not_allowed",
        question=_question(root, wider, untrusted),
        digest=digest,
        askable=_askable(wider, untrusted),
        can_do_without=can_do_without,
    )


def _what_is_wider(wider: Sequence[MaximumExceeded]) -> list[str]:
    needs = [printable(one.what, LINE) for one in wider]
    return [f"only the user of this machine can allow {' and '.join(needs)}"] if needs else []


def _what_is_untrusted(untrusted: Sequence[AskView]) -> list[str]:
    requests = ". ".join(printable(ask.line, LINE) for ask in untrusted)
    about = "this repository asks for more than the user's defaults, which has not been approved"
    return [f"{about}. {requests}"] if requests else []


def _lines(config: Path, wider: Sequence[MaximumExceeded]) -> list[str]:
    """The lines of config.yaml that would allow it, and the terminal where a person can."""
    lines = list(dict.fromkeys(one.line for one in wider))
    ways = [f"a line of {config} that the user writes allows it: {line}" for line in lines]
    if _askable(wider, ()) == "terminal":
        ways.append("or the user runs rover create at a terminal, which asks")
    return ways


def _ways(root: Path, untrusted: Sequence[AskView]) -> list[str]:
    if not untrusted:
        return []
    trust = f"the user reads it and trusts it at a terminal: rover trust {root}"
    return [trust, *_instead(untrusted)]


def _instead(untrusted: Sequence[AskView]) -> list[str]:
    """How a task can be created without what the repository asks for."""
    of_devcontainer = any(ask.name.startswith(PLACES) for ask in untrusted)
    return [f"or {_INSTEAD}", *([f"or {_WITHOUT_DEVCONTAINER}"] if of_devcontainer else [])]


def _question(root: Path, wider: Sequence[MaximumExceeded], untrusted: Sequence[AskView]) -> str:
    lines: list[str] = []
    if wider:
        lines.append("This call asks for more than your config.yaml allows:")
        lines += [f"- {printable(one.what, LINE)}" for one in wider]
    if untrusted:
        lines.append(f"The repository {printable(str(root), LINE)} asks for its tasks:")
        lines += [f"- {printable(ask.line, LINE)}" for ask in untrusted]
    return "\n".join(lines)


def _askable(
    wider: Sequence[MaximumExceeded], untrusted: Sequence[AskView]
) -> Literal["form", "terminal"] | None:
    ways = {one.askable for one in wider}
    if None in ways:
        return None
    cut = any(len(ask.line) > LINE for ask in untrusted)
    if cut or len(wider) + len(untrusted) > MOST_LINES:
        return None
    return "terminal" if "terminal" in ways else "form"


def _refused_over_http(
    root: Path, wider: Sequence[MaximumExceeded], untrusted: Sequence[AskView]
) -> UserFixable:
    """The error for a caller over HTTP, who is not asked: the user of the machine decides, in a
    file."""
    lines = list(dict.fromkeys(one.line for one in wider))
    hints = [f"config.yaml on this server's machine would allow it: {line}" for line in lines]
    if untrusted:
        trust = f"the user of this server's machine runs: rover trust {root}"
        hints += [trust, *_instead(untrusted)]
    return UserFixable(
        "; ".join([*_what_is_wider(wider), *_what_is_untrusted(untrusted)]),
        code="not_trusted" if untrusted else "not_allowed",
        hint="; ".join(hints),
    )
