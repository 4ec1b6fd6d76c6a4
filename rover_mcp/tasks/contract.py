"""The contract of events, for receivers: JSON Schemas and the table of kinds.

`python -m rover_mcp.tasks.contract` writes docs/schemas/ and the generated part of
docs/notifications.md; a test fails when they differ.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from rover_mcp.domain.event_kinds import KINDS
from rover_mcp.tasks.view_models import EventView, HookMessage

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
BEGIN, END = "<!-- events: generated -->", "<!-- events: end -->"


def schema_of(model: type[BaseModel], title: str) -> dict[str, Any]:
    """A model's schema as its receivers see it: fields that are null are left out, and a kind of
    event is one of those that there are."""
    schema = model.model_json_schema(mode="serialization")
    kinds = sorted(str(kind) for kind in KINDS)
    news = schema if model is EventView else schema["$defs"]["HookEventView"]
    news["properties"]["event"]["enum"] = kinds
    if model is HookMessage:
        schema["properties"]["type"]["enum"] = [*kinds, "test"]
    return {"$schema": DIALECT, **schema, "title": title}


def schemas() -> dict[str, dict[str, Any]]:
    """By file name."""
    return {
        "event.schema.json": schema_of(EventView, "Rover event"),
        "hook-message.schema.json": schema_of(HookMessage, "Rover hook message"),
    }


def kinds_as_markdown() -> str:
    """The table of all kinds of events."""
    rows = [
        f"| `{kind}` | {about.meaning} | {about.level} | {about.attention} |"
        for kind, about in KINDS.items()
    ]
    head = ["| event | what happened | level | in `attention` |", "|---|---|---|---|"]
    return "\n".join([*head, *rows])


def with_kinds(page: str) -> str:
    """The page with the table as the code has it now."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{kinds_as_markdown()}\n{END}{after}"


def as_text(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2) + "\n"


# Receivers of webhooks validate against these files, so they are part of what Rover promises.
def write(docs: Path) -> None:
    """Write what is generated into the folder of the documentation."""
    (docs / "schemas").mkdir(exist_ok=True)
    for name, schema in schemas().items():
        (docs / "schemas" / name).write_text(as_text(schema), "utf-8")
    page = docs / "notifications.md"
    page.write_text(with_kinds(page.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    write(Path("docs"))
