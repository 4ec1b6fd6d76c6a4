"""`rover config`: checks and shows a repository's `.rover/config.yaml`, prints its JSON Schema, and
checks the user's own config.yaml. It needs no daemon."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from agent_runner.json_object import Json
from rover_mcp.cli.client import ClientError
from rover_mcp.cli.terminal_text import clean
from rover_mcp.cli.tool_commands import home_of
from rover_mcp.config.load_project import ConfigError, load_config, parse_config
from rover_mcp.config.project import FILE, ProjectConfig
from rover_mcp.config.project_schema import as_text
from rover_mcp.config.safe_read import FileRefused, read_regular
from rover_mcp.domain.errors import RoverError


def schema(args: argparse.Namespace) -> int:
    """Print the JSON Schema of `.rover/config.yaml`."""
    del args
    print(as_text(), end="")
    return 0


def check(args: argparse.Namespace) -> int:
    """Check a configuration and, unless a file is named, the user's own config.yaml too. Prints a
    line for each that is valid, and on stderr what is wrong with another."""
    own = Path(home_of(args)) / "config.yaml"
    checked: list[Json] = []
    if args.file is None and own.exists():
        checked.append(_checked_settings(own))
    try:
        checked.insert(0, _checked(args.file))
    except ClientError as error:
        if error.code != "no_config" or not checked:
            raise
    if args.json:
        first, *others = [{k: v for k, v in c.items() if k != "line"} for c in checked]
        print(json.dumps(first | {"also": others} if others else first, indent=2))
    else:
        for one in checked:
            print(clean(one["line"]), file=sys.stdout if one["valid"] else sys.stderr)
    return 0 if all(one["valid"] for one in checked) else 1


def _checked(file: str | None) -> Json:
    """`line` is what a person reads of it."""
    name = file or FILE
    try:
        config = _read(file)
    except ConfigError as error:
        wrong = {"line": error.line, "column": error.column, "message": error.reason}
        return {"file": name, "valid": False, "error": wrong, "line": error.message}
    keys = ", ".join(_settings(config)) or "nothing: all defaults apply"
    return {"file": name, "valid": True, "line": f"{name}: ok: it sets {keys}"}


def _checked_settings(own: Path) -> Json:
    """The same for the data folder's config.yaml."""
    from rover_mcp.config.load_settings import load_settings

    try:
        load_settings(own.parent)
    except RoverError as error:
        wrong = {"message": error.message}
        return {"file": str(own), "valid": False, "error": wrong, "line": error.message}
    return {"file": str(own), "valid": True, "line": f"{own}: ok"}


def show(args: argparse.Namespace) -> int:
    """Print what a configuration says, as JSON."""
    try:
        settings = _settings(_read(args.file))
    except ConfigError as error:
        raise ClientError(error.message, code=error.code, hint=error.hint) from error
    print(json.dumps(settings, indent=2, ensure_ascii=not args.json))
    return 0


def _settings(config: ProjectConfig) -> Json:
    settings: Json = config.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return settings


def _read(file: str | None) -> ProjectConfig:
    """The file that was named, or that of the repository around the working folder.

    Raises:
        ConfigError: it is not valid.
        ClientError: there is none, or it cannot be read.
    """
    if file == "-":
        return parse_config(sys.stdin.buffer.read(), "<stdin>")
    if file is not None:
        try:
            return parse_config(read_regular(Path(file), 1_000_000), file)
        except FileRefused as error:
            raise ClientError(f"{file}: {error}", code="io") from None
    config = load_config(root_here())
    if config is None:
        raise ClientError(f"{FILE} not found here", code="no_config", hint="rover init creates one")
    return config.config


def root_here(start: Path | None = None) -> Path:
    """The top folder of the repository around a folder, or the folder itself."""
    here = (start or Path.cwd()).absolute()
    return next((p for p in (here, *here.parents) if (p / ".git").exists()), here)
