"""`allowed_secrets` in the user's own config.yaml: what looks like a secret and may leave all the
same.

A repository's own configuration cannot set it, because an agent could write that.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

from pydantic import BaseModel, ConfigDict, Field, field_validator

from rover_mcp.domain.secret_search import COPIED_FILE, SecretMatch
from rover_mcp.domain.token_forms import TOKEN_FORMS

COPIED = "copied file"
"""What the setting calls values of files that the project copied into the sandbox."""
_KINDS = frozenset({form.kind for form in TOKEN_FORMS} | {COPIED})


class AllowedSecret(BaseModel):
    """Secrets of one kind in some files, such as made-up tokens of tests."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    kind: str
    """as the refusal names it, such as `GitHub token`; `copied file` for a value of a file that
    was copied into the sandbox. Keys that the gateway holds are never allowed"""
    path: str = Field(min_length=1)
    """the file within the repository; `*` stands for anything, slashes too"""

    @field_validator("kind")
    @classmethod
    def _known(cls, kind: str) -> str:
        if kind not in _KINDS:
            raise ValueError(f"{kind!r} is not one of: {', '.join(sorted(_KINDS))}")
        return kind

    def covers(self, match: SecretMatch) -> bool:
        """Whether a match is of this kind and in the content of one of these files."""
        kind = COPIED if match.kind.startswith(COPIED_FILE) else match.kind
        in_content = match.line is not None and match.path is not None
        return in_content and kind == self.kind and fnmatchcase(match.path or "", self.path)
