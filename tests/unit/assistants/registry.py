"""server.json as the registry's JSON Schema of 2025-12-11 has it, as far as a server that is
started over stdio can use it, and stricter: a key that is not in the schema is an error."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, StringConstraints

Version = Annotated[str, StringConstraints(pattern=r"^\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class StdioTransport(_Strict):
    type: Literal["stdio"]


class Variable(_Strict):
    name: str
    description: str = ""
    format: Literal["string", "number", "boolean", "filepath"] = "string"
    isRequired: bool = False  # noqa: N815
    isSecret: bool = False  # noqa: N815
    default: str | None = None
    placeholder: str | None = None
    choices: list[str] = []


class Package(_Strict):
    registryType: Literal["pypi"]  # noqa: N815
    registryBaseUrl: Literal["https://pypi.org"]  # noqa: N815
    identifier: str
    version: Version
    runtimeHint: Literal["uvx"]  # noqa: N815
    transport: StdioTransport
    environmentVariables: list[Variable]  # noqa: N815


class Repository(_Strict):
    url: HttpUrl
    source: str


class ServerDetail(_Strict):
    schema_: Literal[
        "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"
    ] = Field(alias="$schema")
    name: Annotated[
        str,
        StringConstraints(
            pattern=r"^[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+$", min_length=3, max_length=200
        ),
    ]
    title: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    description: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    version: Version
    repository: Repository | None = None
    packages: Annotated[list[Package], Field(min_length=1)]
