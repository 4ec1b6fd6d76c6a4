"""Requests the outputs of agent steps in the prompt, and finds them in the answer.

Outputs that are files are read by output_files.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any, cast

from agent_runner.workflow.models import OutputDef, ValueType, conforms

MAX_BRACES = 2_000
"""The opening braces that are tried, from the end of an answer: each try costs time."""

MAX_SCAN = 200_000

# Models write line breaks and tabs into strings as they are; JSON in the strict sense forbids it.
_DECODER = json.JSONDecoder(strict=False)

_SCHEMA_TYPES = {
    ValueType.STRING: "string",
    ValueType.NUMBER: "number",
    ValueType.BOOLEAN: "boolean",
}


def ask(outputs: Sequence[OutputDef]) -> str:
    """The end of a prompt that asks for the step's outputs: its files, and the other outputs as an
    object at the end of the answer. Empty if there are none."""
    files = [_line(f"`{o.filename}`", o) for o in outputs if o.filename is not None]
    values = [_line(f'"{o.name}"', o) for o in outputs if o.filename is None]
    text = ""
    if files:
        text += (
            # Agents that commit on their own would otherwise commit these too, and they would reach
            # the user's branch.
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


def ask_again(missing: Sequence[OutputDef]) -> str:
    """The message to an agent that ended its step without these required outputs."""
    names = ", ".join(o.filename or o.name for o in missing)
    return (
        f"Your last message ended the step, but these outputs are missing or of the wrong type: "
        f"{names}. The work itself counts as done: do not repeat it. Only give the outputs now."
        + ask(missing)
    )


def schema(missing: Sequence[OutputDef]) -> dict[str, Any] | None:
    """The JSON Schema of the object with these outputs; None if all of them are files. Each output
    is required and no other is allowed, because OpenAI's strict mode accepts nothing else."""
    values = [o for o in missing if o.filename is None]
    if not values:
        return None
    return {
        "type": "object",
        "properties": {
            o.name: {"type": _SCHEMA_TYPES[o.type], "description": o.description} for o in values
        },
        "required": [o.name for o in values],
        "additionalProperties": False,
    }


def find(text: str, declared: Sequence[OutputDef]) -> dict[str, str]:
    """The outputs in an answer, as texts: the JSON object with most of the required outputs, then
    most of the declared ones, then the last. It may be anywhere, in prose or in a fence, or inside
    another object. Empty if no object has any of the outputs."""
    values = [o for o in declared if o.filename is None]
    best: dict[str, str] = {}
    best_score = (0, 1)
    for candidate in _objects(text, {o.name for o in values}):
        given = [o for o in values if o.name in candidate and conforms(candidate[o.name], o.type)]
        score = (sum(o.required for o in given), len(given))
        # Not `>`: of two equal objects the later one is the answer, and the earlier one an example
        # or a draft.
        if score >= best_score:
            best, best_score = candidate, score
    return best


def _objects(text: str, names: Set[str]) -> Iterator[dict[str, str]]:
    tail = text[-MAX_SCAN:]
    starts = [index for index, character in enumerate(tail) if character == "{"]
    end = 0
    # From the first of them on, because an inner object would otherwise be taken before the one
    # around it. An answer may hold a page of code, and each brace in it is a try.
    for start in starts[-MAX_BRACES:]:
        if start < end:
            continue
        try:
            value, end = cast("tuple[dict[str, object], int]", _DECODER.raw_decode(tail, start))
        except (ValueError, RecursionError):
            continue
        yield as_texts(value)
        if not value.keys() & names:
            yield from (
                as_texts(cast("dict[str, object]", inner))
                for inner in value.values()
                if isinstance(inner, dict)
            )


def as_texts(values: Mapping[str, object]) -> dict[str, str]:
    """The values as texts: all but strings become JSON, and null is left out."""
    return {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in values.items()
        if value is not None
    }


def select(
    declared: Sequence[OutputDef], given: Mapping[str, str], limit: int
) -> tuple[dict[str, str], list[str], list[str]]:
    """The declared outputs among those given, each cut to `limit` characters; then the names of the
    required ones that are missing; then the warnings."""
    outputs: dict[str, str] = {}
    missing: list[str] = []
    warnings: list[str] = []
    for definition in declared:
        value = given.get(definition.name)
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
