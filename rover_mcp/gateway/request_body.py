"""Parses the body of a request to a model, and serialises it again as it was understood. Pure.

A body that is judged is never forwarded as it came. Two parsers may understand the same bytes
differently (a field that occurs twice, another encoding), and the provider's must see exactly what
was judged here.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn, cast

MAX_BYTES = 32 * 1024 * 1024
"""Of one body that is judged. Anthropic takes no larger one."""

Body = dict[str, Any]


class BadBody(Exception):
    """A body that can be understood in more than one way; the message says why."""


def parse(data: bytes) -> Body:
    """Parse a JSON object in UTF-8. If a field occurs twice, the last one counts.

    Raises:
        BadBody
    """
    try:
        value: object = json.loads(data.decode("utf-8"), parse_constant=_no_number)
    except UnicodeDecodeError as error:
        raise BadBody("it is not UTF-8") from error
    except RecursionError as error:
        raise BadBody("it is nested too deep") from error
    except ValueError as error:
        raise BadBody("it is not JSON") from error
    if not isinstance(value, dict):
        raise BadBody("it is not a JSON object")
    return cast(Body, value)


def serialize(body: Body) -> bytes:
    """Serialise a body for the provider.

    Raises:
        BadBody
    """
    try:
        text = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8")
    except UnicodeEncodeError:
        # Half of a surrogate pair has no UTF-8, but JSON can write it as \uXXXX.
        return json.dumps(body, allow_nan=False, separators=(",", ":")).encode("ascii")
    except RecursionError as error:
        raise BadBody("it is nested too deep") from error
    except ValueError as error:
        raise BadBody("it holds a number that JSON does not know") from error


def _no_number(text: str) -> NoReturn:
    raise ValueError(text)
