"""`rover workflow show | new | copy`: the files of workflows. It needs no daemon."""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path

from agent_runner.workflow.language import VERSION
from agent_runner.workflow.schema import as_text
from rover_mcp.cli.client import ClientError
from rover_mcp.cli.config_command import root_here
from rover_mcp.cli.terminal_text import Paint, clean, json_text
from rover_mcp.cli.tool_commands import home_of
from rover_mcp.cli.workflow_text import workflow_lines
from rover_mcp.tasks.catalog import FOLDER, Catalog, CatalogEntry, file_stem
from rover_mcp.tasks.workflow_mermaid import workflow_mermaid

SCHEMA = "workflow.schema.json"
MODELINE = f"# yaml-language-server: $schema={SCHEMA}\n"
_FIRST = """\
version: "{version}"
description: Do the task, then run the check until it succeeds.

inputs:
  - name: check
    description: the shell command that must succeed at the end
    default: "true"

steps:
  - id: change
    type: agent
    prompt: |
      Do the task below in the repository in the current folder. No one can answer questions.
      You need not commit, and please stay on the present branch: Rover commits what you change.
      It will be checked by this command: {{{{inputs.check}}}}

      # {{{{task.title}}}}

      {{{{task.description}}}}
    outputs:
      - name: summary
        description: what was changed and why, in a few lines
        required: true
    config: {{timeout: 30m}}

  - id: until_checked
    type: loop
    until: steps.check.outputs.success == true
    max_iterations: 3
    verdict: "the check still fails (exit status {{{{steps.check.outputs.exit_code}}}})"
    steps:
      - id: repair
        type: agent
        if: steps.check.outputs.success == false
        prompt: |
          The check of the task below fails. Find the cause, and correct the code, not the check.

          # {{{{task.title}}}}

          {{{{task.description}}}}

          # The check: {{{{inputs.check}}}}
          {{{{steps.check.outputs.stdout}}}}
          {{{{steps.check.outputs.stderr}}}}
      - id: check
        type: command
        # The input is meant to be code, so a shell of its own reads it.
        command: bash -c {{{{inputs.check}}}}
        allow_failure: true
        timeout: 10m
"""


def show(args: argparse.Namespace) -> int:
    """Print what a workflow does, as a tree or a diagram, or its file."""
    entry = found(args, args.name)
    text = entry.data.decode()
    if args.json:
        named = {"name": entry.name, "source": entry.source, "path": str(entry.path)}
        print(json_text({**named, "text": text}))
    elif args.yaml:
        print(clean_lines(text), end="")
    elif entry.workflow is not None:
        if args.mermaid:
            print(workflow_mermaid(entry.workflow), end="")
        else:
            print("\n".join(workflow_lines(entry.workflow, Paint(sys.stdout))))
    return 0


def new(args: argparse.Namespace) -> int:
    """Write a first workflow."""
    name = _new_name(args.name)
    return _write(
        args, name, _FIRST.format(version=VERSION), f"Wrote {{path}}: the workflow {name}."
    )


def copy(args: argparse.Namespace) -> int:
    """Copy a workflow into the project's or the user's folder."""
    entry = found(args, args.name)
    name = _new_name(args.new_name or entry.name)
    text = entry.data.decode()
    if name != entry.name:
        # Tasks ask for it by its file's name.
        text = re.sub(rf"(?m)^name: {re.escape(entry.name)}$", f"name: {name}", text, count=1)
    instead = f", which replaces the {entry.source} one" if name == entry.name else ""
    return _write(args, name, text, f"Wrote {{path}}: a copy of {entry.name}{instead}.")


def found(args: argparse.Namespace, name: str) -> CatalogEntry:
    """The workflow that a task of the repository would use.

    Raises:
        NotFound, UserFixable: there is none, or it has an error.
    """
    return Catalog(Path(home_of(args))).find(
        name, root_here(Path(args.repo) if args.repo else None)
    )


def clean_lines(text: str) -> str:
    """The lines of a file, safe for a terminal."""
    return clean(text, one_line=False)


def _new_name(name: str) -> str:
    stem = file_stem(name)
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]{0,63}", stem):
        raise ClientError(
            f"{name[:80]!r} cannot be a workflow's name",
            code="invalid_arguments",
            hint="letters, digits, - and _, with a letter or _ first: my-workflow",
        )
    return stem


def _write(args: argparse.Namespace, name: str, text: str, message: str) -> int:
    """Write a file, but never over another one. Its schema is written beside it for editors, if
    missing."""
    root = root_here(Path(args.repo) if args.repo else None)
    if not args.user and not (root / ".git").exists():
        raise ClientError(
            f"{root} is not in a git repository",
            code="no_repository",
            hint="run: git init; or --user, for all your repositories",
        )
    folder = Path(home_of(args)) / "workflows" if args.user else root / FOLDER
    path = folder / f"{name}.yaml"
    if any(place.is_symlink() for place in (folder, folder.parent)) and not args.user:
        raise ClientError(f"{folder} is a symbolic link", code="not_written")
    folder.mkdir(parents=True, exist_ok=True)
    if os.path.lexists(path):
        raise ClientError(f"{path} exists", code="exists", hint="choose another name")
    if not os.path.lexists(folder / SCHEMA):
        (folder / SCHEMA).write_text(as_text(), encoding="utf-8")
    with path.open("x", encoding="utf-8") as file:
        file.write(text if text.startswith(MODELINE) else MODELINE + text)
    if args.json:
        print(json_text({"name": name, "path": str(path), "schema": str(folder / SCHEMA)}))
    else:
        print(clean(message.format(path=path)))
        print(f"  Edit it, then: rover workflow check {clean(os.path.relpath(path))}")
        print(f"  See which steps would run: rover create DESCRIPTION --workflow {name} --dry-run")
    return 0
