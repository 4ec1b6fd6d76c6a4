"""The REST API of a forge: requests with its own token, answers read as JSON within limits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeVar, cast
from urllib.parse import urlencode

from pydantic import BaseModel, ValidationError

from rover_mcp.context.fetch import Fetched, Fetcher, FetchFailed
from rover_mcp.context.written_references import Forge, ForgeReference
from rover_mcp.domain.text import visible_line
from rover_mcp.domain.utc_time import utc_minute

MAX_ANSWER: Final = 10_000_000
"""Bytes of one answer."""
PER_PAGE: Final = 100
MAX_PAGES: Final = 10
"""Pages of one list, so at most 1,000 comments."""

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class ForgeApi:
    """One forge's API for one fetch. `token` is sent to it and nowhere else."""

    fetcher: Fetcher
    reference: ForgeReference
    base: str
    headers: Mapping[str, str]

    async def one(self, path: str, model: type[M]) -> M:
        """A single object.

        Raises:
            FetchFailed: it cannot be obtained.
        """
        fetched = await self._get(path)
        return _validated([_json(fetched)], model, fetched)[0]

    async def every(self, path: str, model: type[M]) -> tuple[list[M], bool]:
        """A list over all its pages, and whether there were more than MAX_PAGES.

        Raises:
            FetchFailed: it cannot be obtained.
        """
        entries: list[M] = []
        # By number and not by the `Link` header, whose addresses the server chooses.
        for page in range(1, MAX_PAGES + 1):
            query = urlencode({"per_page": PER_PAGE, "page": page})
            fetched = await self._get(f"{path}?{query}")
            part = _json(fetched)
            if not isinstance(part, list):
                raise _not_described(fetched)
            part = cast("list[object]", part)
            entries += _validated(part, model, fetched)
            # A short page is the last one. That saves a request, of which a caller without a token
            # has 60 an hour at GitHub.
            if len(part) < PER_PAGE:
                return entries, False
        return entries, True

    async def text(self, path: str, accept: str) -> str:
        """A text, such as a diff.

        Raises:
            FetchFailed: it cannot be obtained.
        """
        fetched = await self._get(path, {"accept": accept})
        return fetched.body.decode("utf-8", "replace")

    async def _get(self, path: str, headers: Mapping[str, str] | None = None) -> Fetched:
        request_headers = {**self.headers, **(headers or {})}
        fetched = await self.fetcher.get(f"{self.base}{path}", MAX_ANSWER, request_headers)
        if fetched.status != 200:
            raise FetchFailed(self._refusal(fetched))
        return fetched

    def _refusal(self, fetched: Fetched) -> str:
        """Why a forge did not answer, and what would help."""
        forge, host = self.reference.forge, self.reference.authority
        status = fetched.status
        # GitHub answers 403 if the rate limit is used up, so the header decides.
        if status == 429 or fetched.headers.get("x-ratelimit-remaining") == "0":
            return f"{host} answered {status}: its rate limit is used up{_until(fetched)}"
        if status == 401:
            return f"{host} answered 401: the token is not accepted; {_SIGN_IN[forge]}"
        # A forge answers 404 for what may not be read, to hide that it exists.
        if status in (403, 404):
            also = "it does not exist, or may not be read with this sign-in"
            return f"{host} answered {status}: {also}; {_SIGN_IN[forge]}"
        return f"{host} answered {status}"


_SIGN_IN: Final = {
    Forge.GITHUB: "sign in with `gh auth login`, or set GH_TOKEN",
    Forge.GITLAB: "sign in with `glab auth login`, or set GITLAB_TOKEN",
}


def _until(fetched: Fetched) -> str:
    reset = fetched.headers.get("x-ratelimit-reset") or fetched.headers.get("ratelimit-reset", "")
    # Digits only: `int` also takes signs, blanks and digits of other scripts.
    if not (reset.isascii() and reset.isdecimal() and len(reset) < 12):
        return ""
    return f" until {utc_minute(int(reset))}"


def _json(fetched: Fetched) -> object:
    try:
        # A deeply nested answer ends in a RecursionError, and not in a ValueError.
        return json.loads(fetched.body)
    except (ValueError, RecursionError) as error:
        raise _not_described(fetched) from error


def _validated(values: list[object], model: type[M], fetched: Fetched) -> list[M]:
    try:
        return [model.model_validate(value) for value in values]
    except ValidationError as error:
        raise _not_described(fetched) from error


def _not_described(fetched: Fetched) -> FetchFailed:
    kind = visible_line(fetched.headers.get("content-type", "no content type")[:80])
    return FetchFailed(f"the answer is not what the forge's API describes ({kind})")
