"""What a person and an assistant are shown of secrets in what leaves: the kind and the place of
each, and never the secret."""

from __future__ import annotations

from collections.abc import Sequence

from rover_mcp.config.allowed_secrets import AllowedSecret
from rover_mcp.domain.errors import UserFixable
from rover_mcp.domain.secret_search import SecretMatch
from rover_mcp.domain.text import visible_line
from rover_mcp.tasks.quoted_text import named

SHOWN = 20
_PATH = 120
_FORMS = {"base64": " in base64", "hex": " in hexadecimal digits", "split": " in pieces"}


def check_secrets(
    matches: Sequence[SecretMatch], allowed: Sequence[AllowedSecret], verb: str
) -> list[str]:
    """That nothing leaves that must not; a sentence about what the user's settings let pass.
    `verb` is what is refused, such as "pushed".

    Raises:
        UserFixable: there are secrets ("secrets").
    """
    refused = [m for m in matches if not any(one.covers(m) for one in allowed)]
    if refused:
        raise UserFixable(
            f"nothing was {verb}: {secrets_text(refused)}",
            hint="have the task remove them with iterate_task; every commit counts, so a secret "
            "that an earlier commit has must go from there too. Take back a secret that may be "
            "known elsewhere. What is only made up for tests: allowed_secrets in config.yaml, see "
            "docs/secrets.md",
            code="secrets",
        )
    passed = len(matches)
    return (
        [f"Let pass by allowed_secrets in config.yaml: {secrets_text(matches)}."] if passed else []
    )


def secrets_text(matches: Sequence[SecretMatch]) -> str:
    """The kinds and places of secrets, the first ones by name."""
    places = list(dict.fromkeys(f"{m.kind}{_FORMS.get(m.form, '')} {_place(m)}" for m in matches))
    more = len(places) - SHOWN
    return "; ".join(places[:SHOWN]) + (f"; and {more} more" if more > 0 else "")


def _place(match: SecretMatch) -> str:
    if match.commit is not None:
        return f"in the message of commit {match.commit[:10]}"
    path = named(visible_line(match.path or ""), _PATH)
    return f"in {path}, line {match.line}" if match.line else f"in the name of {path}"
