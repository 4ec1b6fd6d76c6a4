"""The language of `.rover/config.yaml` as JSON Schema, for editors, and as tables, for people.

python -m rover_mcp.config.project_schema > workflows/config.schema.json
"""

from __future__ import annotations

import json
from typing import Any, cast

from pydantic.fields import FieldInfo

from agent_runner.json_object import Json
from rover_mcp.config.project import FILE, SECTIONS, ProjectConfig

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def config_schema() -> Json:
    """What a configuration may contain. The loader checks more: see docs/configuration.md."""
    schema = _plain(ProjectConfig.model_json_schema(by_alias=True))
    schema |= {"title": "Rover configuration", "description": f"{FILE}: docs/configuration.md"}
    return {"$schema": DIALECT, **schema}


def _plain(node: Any) -> Any:
    """The schema without titles and null branches, because nothing is null: it is left out."""
    if isinstance(node, list):
        return [_plain(item) for item in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    schema: Json = {}
    for key, value in cast("Json", node).items():
        if key == "properties":
            schema[key] = {name: _plain(inner) for name, inner in value.items()}
        elif key == "anyOf":
            some = [_plain(option) for option in value if option != {"type": "null"}]
            schema |= some[0] if len(some) == 1 else {key: some}
        elif (key, value) != ("default", None) and not (key == "title" and isinstance(value, str)):
            schema[key] = _plain(value)
    return schema


def as_text() -> str:
    """workflows/config.schema.json."""
    return json.dumps(config_schema(), indent=2) + "\n"


def as_tables() -> str:
    """The tables of docs/configuration.md."""
    page: list[str] = []
    for name, model in {"": ProjectConfig, **SECTIONS}.items():
        if name:
            page += ["", f"### {name}", "", " ".join((model.__doc__ or "").split())]
        page += ["", "| key | meaning |", "|---|---|"]
        page += [_row(key, field) for key, field in model.model_fields.items()]
    return "\n".join([*page[1:], ""])


def _row(key: str, field: FieldInfo) -> str:
    about = " ".join((field.description or "").split())
    return f"| `{field.alias or key}` | {about} |"


if __name__ == "__main__":
    print(as_text(), end="")
