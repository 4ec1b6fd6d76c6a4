"""What is wrong with a value that a model of pydantic refused, in words for whoever wrote it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, cast

from pydantic import BaseModel
from pydantic_core import ErrorDetails

_MAPPING, _LIST, _TEXT = "must be a mapping", "must be a list", "must be a text"
_WHOLE, _NUMBER, _BOOLEAN = "must be a whole number", "must be a number", "must be true or false"
_PLAIN = {
    "missing": "is missing",
    "invalid_key": "a key must be a text",
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "bool_type": _BOOLEAN,
    "bool_parsing": _BOOLEAN,
    "string_type": _TEXT,
    "list_type": _LIST,
    "tuple_type": _LIST,
    "set_type": _LIST,
    "frozen_set_type": _LIST,
    "dict_type": _MAPPING,
    "mapping_type": _MAPPING,
    "model_type": _MAPPING,
    "model_attributes_type": _MAPPING,
    "literal_error": "must be one of {expected}",
    "enum": "must be one of {expected}",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} items",
    "too_long": "must have at most {max_length} items",
}


def reason(error: ErrorDetails, model: type[BaseModel]) -> str:
    """One error that validating with `model` gave, with the setting's name; of an unknown key
    those that are known in its place."""
    names = [str(part) for part in error["loc"] if not isinstance(part, int)]
    if error["type"] == "extra_forbidden":
        return _unknown(names, known_keys(model, names[:-1]))
    message = _PLAIN.get(error["type"], error["msg"].removeprefix("Value error, "))
    context: Mapping[str, Any] = error.get("ctx", {})
    text = message.format(**context) if error["type"] in _PLAIN else message
    return f"{'.'.join(names)}: {text}" if names else text


def known_keys(model: type[BaseModel], names: Sequence[str]) -> list[str]:
    """The keys that a model, or the one that `names` lead to in it, takes; none where what they
    lead to takes any."""
    kind: Any = model
    for name in names:
        field = kind.model_fields.get(name)
        annotation = field.annotation if field else None
        options = [annotation, *getattr(annotation, "__args__", ())]
        kind = next((o for o in options if hasattr(o, "model_fields")), None)
        if kind is None:
            return []
    fields = cast("Mapping[str, Any]", kind.model_fields)
    return [field.alias or name for name, field in fields.items() if not field.exclude]


def _unknown(names: Sequence[str], known: Sequence[str]) -> str:
    *around, name = names
    if not known:
        return f"unknown key {name[:80]!r}" + (f" in {'.'.join(around)}" if around else "")
    near = get_close_matches(name, known, n=1)
    meant = f" (did you mean {near[0]!r}?)" if near else ""
    return f"unknown key {name[:80]!r}{meant}; known here: {', '.join(known)}"
