"""Outputs of agent steps: asked for at the end of the prompt, read from the end of the answer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import cast

from agent_runner.workflow.models import OutputDef, conforms

MAX_TRIES = 200
"""Braces that are tried from the end of an answer: its object is its last words."""

MAX_SCAN = 200_000


def ask(outputs: Sequence[OutputDef]) -> str:
    """What is put after a prompt so that the answer ends with the outputs; "" for none."""
    if not outputs:
        return ""
    lines = [
        f'- "{o.name}" ({o.type}, {"required" if o.required else "optional"})'
        + (f": {o.description}" if o.description else "")
        for o in outputs
    ]
    return (
        "\n\nWhen all of it is done, end your last message with one JSON object and write nothing "
        "after it. Its keys:\n" + "\n".join(lines) + "\n"
    )


def parse(text: str) -> dict[str, str]:
    """The JSON object that a text ends with, its values as text; {} where there is none."""
    tail = text[-MAX_SCAN:].rstrip().removesuffix("```").rstrip()
    decoder = json.JSONDecoder()
    start = len(tail)
    if not tail.endswith("}"):
        return {}
    for _ in range(MAX_TRIES):
        start = tail.rfind("{", 0, start)
        if start < 0:
            break
        try:
            value, end = decoder.raw_decode(tail, start)
        except (ValueError, RecursionError):
            continue
        if end == len(tail) and isinstance(value, dict):
            return as_texts(cast("dict[str, object]", value))
    return {}


def as_texts(values: Mapping[str, object]) -> dict[str, str]:
    """Texts stay; true and false, numbers and structures become JSON; null is no value."""
    return {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in values.items()
        if value is not None
    }


def select(
    declared: Sequence[OutputDef], found: Mapping[str, str], limit: int
) -> tuple[dict[str, str], list[str], list[str]]:
    """The declared outputs of what was found, each cut to `limit` characters; then what is
    required and missing; then what there is to warn of."""
    outputs: dict[str, str] = {}
    missing: list[str] = []
    warnings: list[str] = []
    for definition in declared:
        value = found.get(definition.name)
        if value is not None and not conforms(value, definition.type):
            warnings.append(f"output {definition.name!r} is not a {definition.type}")
            value = None
        if value is None:
            if definition.required:
                missing.append(definition.name)
            continue
        if len(value) > limit:
            warnings.append(f"output {definition.name!r} was cut to {limit} characters")
        outputs[definition.name] = value[:limit]
    return outputs, missing, warnings
