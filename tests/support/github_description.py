"""GitHub's own description of its REST API (npm: @octokit/openapi, MIT): its recorded answers, and
whether a request and an answer are as it says."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from jsonschema import Draft202012Validator

from tests.support.fetched import npm_modules

PACKAGE = "@octokit/openapi@23.0.2"
FILE = "@octokit/openapi/generated/ghes-3.19.json"
_PREFIX = "/api/v3"
_DIFF = "application/vnd.github.diff"
Json = dict[str, Any]


class GithubDescription:
    """The description of GitHub Enterprise Server 3.19. A path is written as it is there, such as
    /repos/{owner}/{repo}/issues/{issue_number}."""

    def __init__(self, document: Json) -> None:
        self._document = document
        self._paths = {
            re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path))): path
            for path, methods in document["paths"].items()
            if "get" in methods
        }

    def example(self, path: str) -> Any:
        """A copy of the recorded answer."""
        recorded = self._answer(path)["examples"]["default"]
        while isinstance(recorded, dict) and not recorded.keys() - {"$ref", "summary", "value"}:
            recorded = self._resolved(recorded)
            recorded = recorded.get("value", recorded)
        return json.loads(json.dumps(recorded))

    def problems(self, path: str, answer: object) -> list[str]:
        """What of an answer is not as the description says."""
        document = {"components": self._document["components"], **self._answer(path)["schema"]}
        found = Draft202012Validator(document).iter_errors(answer)
        return [f"{path}: {error.json_path}: {error.message[:200]}" for error in found]

    def request_problems(self, target: str, headers: Json) -> list[str]:
        """What of a GET request is not as the description says."""
        parts = urlsplit(target)
        path = self.path_of(target)
        if path is None:
            return [f"{target}: no such path"]
        operation = self._document["paths"][path]["get"]
        parameters = [self._resolved(one) for one in operation["parameters"]]
        queries = {one["name"]: one["schema"] for one in parameters if one["in"] == "query"}
        problems: list[str] = []
        for name, value in parse_qsl(parts.query):
            if name not in queries:
                problems.append(f"{target}: no parameter {name}")
            elif queries[name]["type"] == "integer" and not value.isdecimal():
                problems.append(f"{target}: {name} is not a number")
        if headers["accept"] not in ("application/vnd.github+json", _DIFF):
            problems.append(f"{target}: accepts {headers['accept']}")
        return problems

    def path_of(self, target: str) -> str | None:
        """The description's path of a request."""
        path = urlsplit(target).path.removeprefix(_PREFIX)
        return next(
            (name for pattern, name in self._paths.items() if pattern.fullmatch(path)), None
        )

    def _answer(self, path: str) -> Json:
        response = self._document["paths"][path]["get"]["responses"]["200"]
        return self._resolved(response)["content"]["application/json"]

    def _resolved(self, node: Any) -> Any:
        while isinstance(node, dict) and (reference := node.get("$ref")):
            node = self._document
            for part in reference.removeprefix("#/").split("/"):
                node = node[part]
        return node


@lru_cache(maxsize=1)
def github_description() -> GithubDescription:
    """It is fetched once, and kept in the cache of the tests."""
    text = (npm_modules("octokit-openapi-23.0.2", PACKAGE) / FILE).read_text()
    return GithubDescription(_as_json_schema(json.loads(text)))


def _as_json_schema(node: Any) -> Any:
    """OpenAPI 3.0's `nullable` as JSON Schema says it."""
    if isinstance(node, list):
        return [_as_json_schema(one) for one in node]
    if not isinstance(node, dict):
        return node
    schema = {key: _as_json_schema(value) for key, value in node.items() if key != "nullable"}
    if node.get("nullable") is True:
        return {"anyOf": [schema, {"type": "null"}]}
    return schema
