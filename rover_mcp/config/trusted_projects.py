"""`trusted_projects` of the user's own config.yaml: projects that need no consent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


# A digest pins what is trusted: without one, whatever the repository asks for later is trusted,
# too.
class TrustedProject(BaseModel):
    """A repository whose configuration counts without `rover trust`."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    path: Path
    """absolute path of the repository's root; an entry may also be the path alone"""
    digest: str | None = Field(default=None, pattern="^[0-9a-f]{32}$")
    """as `rover trust --show` prints it: only this content. Without it whatever the repository
    asks for counts, also what a pull brings tomorrow"""

    @model_validator(mode="before")
    @classmethod
    def _path_alone(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value

    @field_validator("path")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        expanded = path.expanduser()
        if not expanded.is_absolute():
            raise ValueError(f"{path} is not an absolute path")
        return expanded
