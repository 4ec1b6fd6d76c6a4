"""Outputs of agent steps: asked for at the end of the prompt, read from the end of the answer.

Those that are files are read by output_files.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import cast

from agent_runner.workflow.models import OutputDef, conforms

MAX_TRIES = 200
"""Braces that are tried from the end of an answer: its object is its last words."""

MAX_SCAN = 200_000


def ask(outputs: Sequence[OutputDef]) -> str:
    """What is put after a prompt so that the step gives its outputs: its files, and the rest at
    the end of the answer. "" for none."""
    files = [_line(f"`{o.filename}`", o) for o in outputs if o.filename is not None]
    values = [_line(f'"{o.name}"', o) for o in outputs if o.filename is None]
    text = ""
    if files:
        text += (
            "\n\nBefore you end, write these files, by their paths from the root of the "
            "repository. Never commit them: they are read and removed after this step.\n"
            + "\n".join(files)
            + "\n"
        )
    if values:
        text += (
            "\n\nWhen all of it is done, end your last message with one JSON object and write "
            "nothing after it. Its keys:\n" + "\n".join(values) + "\n"
        )
    return text


def _line(name: str, output: OutputDef) -> str:
    kind = "" if output.filename is not None else f"{output.type}, "
    need = "required" if output.required else "optional"
    return f"- {name} ({kind}{need})" + (f": {output.description}" if output.description else "")


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
