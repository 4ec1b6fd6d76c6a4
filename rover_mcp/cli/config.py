"""`rover config`: a repository's `.rover/config.yaml` checked and shown, and its language as JSON
Schema. No daemon is needed."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from rover_mcp.cli.client import ClientError
from rover_mcp.cli.text import clean
from rover_mcp.project.beneath import NotTaken, read_regular
from rover_mcp.project.config import FILE, ProjectConfig
from rover_mcp.project.load import ConfigError, load_config, parse_config
from rover_mcp.project.schema import as_text

Json = dict[str, Any]


def schema(args: argparse.Namespace) -> int:
    """Print the JSON Schema of `.rover/config.yaml`."""
    del args
    print(as_text(), end="")
    return 0


def check(args: argparse.Namespace) -> int:
    """Read a configuration: a line if it is valid; on stderr what is wrong with another."""
    name = args.file or FILE
    try:
        config = _read(args.file)
    except ConfigError as error:
        if args.json:
            wrong = {"line": error.line, "column": error.column, "message": error.reason}
            print(json.dumps({"file": name, "valid": False, "error": wrong}, indent=2))
        else:
            print(clean(error.message), file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps({"file": name, "valid": True}, indent=2))
    else:
        keys = ", ".join(_said(config)) or "nothing: every default counts"
        print(clean(f"{name}: ok: it sets {keys}"))
    return 0


def show(args: argparse.Namespace) -> int:
    """Print what a configuration says, as JSON."""
    try:
        said = _said(_read(args.file))
    except ConfigError as error:
        raise ClientError(error.message, code=error.code, hint=error.hint) from error
    print(json.dumps(said, indent=2, ensure_ascii=not args.json))
    return 0


def _said(config: ProjectConfig) -> Json:
    said: Json = config.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return said


def _read(file: str | None) -> ProjectConfig:
    """The file given, or that of the repository around the working folder.

    Raises:
        ConfigError: it is not valid.
        ClientError: there is none, or it cannot be read.
    """
    if file == "-":
        return parse_config(sys.stdin.buffer.read(), "<stdin>")
    if file is not None:
        try:
            return parse_config(read_regular(Path(file), 1_000_000), file)
        except NotTaken as error:
            raise ClientError(f"{file}: {error}", code="io") from None
    found = load_config(root_here())
    if found is None:
        raise ClientError(
            f"there is no {FILE} here", code="no_config", hint="rover init writes one"
        )
    return found.config


def root_here(start: Path | None = None) -> Path:
    """The top of the repository around a folder, else the folder itself."""
    here = (start or Path.cwd()).absolute()
    return next((p for p in (here, *here.parents) if (p / ".git").exists()), here)
