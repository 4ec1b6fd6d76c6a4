"""Man pages of `rover` and each of its commands, made from the parser when a wheel is built.

    python -m tools.docs.man_pages FOLDER

writes them. The wheel's build does the same (build_man_pages.py), and an installation puts them
into share/man/man1 below its prefix.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from rover_mcp import __version__
from rover_mcp.cli.help_examples import EXAMPLES
from rover_mcp.cli.parser import build_parser
from tools.docs.man_texts import COMMANDS, ENVIRONMENT, EXIT, EXIT_OF, FILES, INTRODUCTION

SECTION = "1"
_GLYPHS = {
    "\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti", '"': r"\(dq",
}  # fmt: skip
"""Characters that roff would read or change."""


def pages() -> dict[str, str]:
    """Every page by its file's name."""
    parser = build_parser()
    commands = _commands(parser)
    made = {"rover.1": _main_page(parser, commands)}
    for name, command in commands.items():
        made[f"rover-{name}.1"] = _command_page(name, command, _about(parser, name))
    return made


def write(folder: Path) -> list[Path]:
    """Write every page into a folder; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {folder / name: text for name, text in pages().items()}
    for path, text in found.items():
        path.write_text(text, "utf-8")
    return list(found)


# The parser


def _subparsers(parser: Any) -> Any:
    kind = argparse._SubParsersAction
    return next((a for a in parser._actions if isinstance(a, kind)), None)


def _commands(parser: Any) -> Mapping[str, Any]:
    """Each command's parser by its name, without its aliases."""
    action = _subparsers(parser)
    if action is None:
        return {}
    names = [choice.dest.split(" ")[0] for choice in action._choices_actions]
    return {name: action.choices[name].whole() for name in names}


def _about(parser: Any, name: str) -> str:
    choices = _subparsers(parser)._choices_actions
    return next(str(c.help) for c in choices if c.dest.split(" ")[0] == name)


def _aliases(parser: Any, name: str) -> list[str]:
    action = _subparsers(parser)
    same = action.choices[name]
    return [alias for alias, one in action.choices.items() if one is same and alias != name]


def _arguments(parser: Any) -> list[argparse.Action]:
    """What is a command's own: not help, and not what every command takes."""
    general = {"help", "json", "home", "version"}
    return [
        action
        for action in cast("list[argparse.Action]", parser._actions)
        if action.dest not in general and action is not _subparsers(parser)
    ]


# Pages


def _main_page(parser: Any, commands: Mapping[str, Any]) -> str:
    lines = [*_head("rover", "hand coding tasks to background agents"), ".SH SYNOPSIS"]
    lines += [f"{_bold('rover')} {_italic('COMMAND')} [{_italic('ARGUMENT')} ...]"]
    lines += [".SH DESCRIPTION", *_paragraphs(INTRODUCTION), ".SH COMMANDS"]
    for name in commands:
        others = _aliases(parser, name)
        also = f" (also {', '.join(map(_bold, others))})" if others else ""
        lines += [".TP", f"{_bold(f'rover-{name}')}({SECTION}){also}"]
        lines += [_marked(_sentence(_about(parser, name)))]
    lines += [".SH OPTIONS", "These stand before or behind a command."]
    general = [a for a in parser._actions if a.dest in ("help", "json", "home", "version")]
    lines += [line for action in general for line in _argument(parser, action)]
    lines += _exit(EXIT) + _listed("ENVIRONMENT", ENVIRONMENT) + _listed("FILES", FILES)
    see = ", ".join(f"{_bold(f'rover-{name}')}({SECTION})" for name in ("create", "list", "doctor"))
    return _page([*lines, ".SH SEE ALSO", see])


def _command_page(name: str, command: Any, about: str) -> str:
    lines = [*_head(f"rover-{name}", about), ".SH SYNOPSIS"]
    actions = _commands(command)
    calls = [_synopsis(one) for one in [*actions.values()] or [command]]
    lines += [line for call in calls for line in (".br", call)][1:]
    lines += [".SH DESCRIPTION", *_paragraphs(COMMANDS[name])]
    for action_name, action in actions.items():
        lines += [f".SS rover {name} {action_name}"]
        lines += [_marked(_sentence(_about(command, action_name)))]
        lines += [line for a in _arguments(action) for line in _argument(action, a)]
    if own := [] if actions else _arguments(command):
        lines += [".SH OPTIONS", *(line for a in own for line in _argument(command, a))]
    if found := EXAMPLES.get(name):
        lines += [".SH EXAMPLES", ".nf", *map(_text, found), ".fi"]
    lines += _exit(EXIT_OF.get(name, {}) | {k: v for k, v in EXIT.items() if k in ("64",)})
    lines += [
        ".SH SEE ALSO",
        f"{_bold('rover')}({SECTION}), which names the options of all commands",
    ]
    return _page(lines)


def _head(name: str, about: str) -> list[str]:
    return [
        f'.TH "{_text(name.upper())}" "{SECTION}" "" "rover {__version__}" "Rover"',
        ".nh",  # neither hyphens nor spaces that are not there: commands are copied
        ".ad l",
        ".SH NAME",
        f"{_text(name)} \\- {_text(about)}",
    ]


def _synopsis(command: Any) -> str:
    """How it is called, in bold where it is to be typed as it stands."""
    words = [_bold(command.prog)]
    for action in _arguments(command):
        shown = _call(action)
        words.append(shown if action.required and shown[:1] != "[" else f"[{shown.strip('[]')}]")
    return " ".join(words)


def _call(action: argparse.Action) -> str:
    value = _value(action)
    if action.option_strings:
        return " ".join(filter(None, (_bold(_long(action)), value)))
    return f"{value} ..." if action.nargs in ("*", "+") else value


def _long(action: argparse.Action) -> str:
    return next((name for name in action.option_strings if name.startswith("--")), "")


def _value(action: argparse.Action) -> str:
    """What stands for an argument's value."""
    if action.nargs == 0:
        return ""
    if isinstance(action.metavar, str):
        return _italic(action.metavar)
    if action.choices:
        return "|".join(_bold(str(choice)) for choice in action.choices)
    return _italic(action.dest.upper())


def _argument(parser: Any, action: argparse.Action) -> list[str]:
    value = _value(action)
    names = ", ".join(map(_bold, action.option_strings))
    about = parser._get_formatter()._expand_help(action) if action.help else ""
    if about == "show this help message and exit":
        about = "show how it is used"
    if action.choices and isinstance(action.metavar, str):
        about += f": {', '.join(map(str, action.choices))}"
    return [".TP", " ".join(filter(None, (names, value))), _marked(_sentence(about))]


def _exit(found: Mapping[str, str]) -> list[str]:
    return _listed(
        "EXIT STATUS", {"0": "It is done.", "1": "An error, which stderr names.", **found}
    )


def _listed(title: str, rows: Mapping[str, str]) -> list[str]:
    return [f".SH {title}", *(x for k, v in rows.items() for x in (".TP", _bold(k), _text(v)))]


def _paragraphs(text: str) -> list[str]:
    parts = [" ".join(part.split()) for part in text.strip().split("\n\n")]
    return [line for part in parts for line in (".PP", _marked(part))]


def _page(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"


# roff


def _sentence(text: str) -> str:
    """A fragment of help as a sentence."""
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "?", ":")) or not text else f"{text}."


def _text(text: str) -> str:
    """Text that roff shows as it is."""
    shown = (
        text.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq").replace("`", r"\(ga")
    )
    shown = shown.replace("^", r"\(ha").replace("~", r"\(ti").replace('"', r"\(dq")
    return f"\\&{shown}" if shown.startswith(".") else shown


def _bold(text: str) -> str:
    return f"\\fB{_text(text)}\\fR"


def _italic(text: str) -> str:
    return f"\\fI{_text(text)}\\fR"


def _marked(text: str) -> str:
    """Text in which `this` is to be typed."""
    parts = re.split(r"`([^`]*)`", text)
    return "".join(_bold(part) if n % 2 else _text(part) for n, part in enumerate(parts))


if __name__ == "__main__":
    for path in write(Path(sys.argv[1])):
        print(path)
