"""The parser of the command line: argparse, with commands whose parsers are built only when
needed."""

from __future__ import annotations

import argparse
import os
import re
import sys

# What only types need is not imported: `--help` and a completion are to come at once.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

# Not 2, which argparse uses and which says "paused" here; 64 is EX_USAGE of sysexits.h.
EXIT_USAGE = 64

ALIASES = {
    "list": ("ls", "ps"),
    "inspect": ("show",),
    "pause": ("stop",),
    "delete": ("rm",),
}
"""The names that gh, docker and git use for the same commands."""

_NUMBER = re.compile(r"-\d+(?:\.\d+)?")
_NO_NUMBER = re.compile(r"argument (?P<name>[\w-]+): invalid (?:int|float) value: '(?P<word>.*)'")
_UNKNOWN = (
    r"argument (?P<name>[\w-]+): invalid choice: '(?P<word>[^']*)' \(choose from (?P<known>.*)\)"
)


class Help(argparse.HelpFormatter):
    """Help as wide as the terminal, without argparse's way to find that out, which imports archives
    and compression."""

    def __init__(self, prog: str, **named: Any) -> None:
        named.setdefault("width", _columns() - 2)
        super().__init__(prog, **named)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Examples keep their lines."""
        return text if "\n" in text else super()._fill_text(text, width, indent)


def _columns() -> int:
    if (columns := os.environ.get("COLUMNS", "")).isdigit() and int(columns) > 0:
        return int(columns)
    try:
        return os.get_terminal_size(1).columns or 80
    except OSError:
        return 80


class Parser(argparse.ArgumentParser):
    """Accepts only options in full, because an abbreviation may come to mean another option."""

    def __init__(self, **named: Any) -> None:
        named.setdefault("formatter_class", Help)
        super().__init__(**named)
        # `--y` would otherwise count as --yes, and delete.
        self.allow_abbrev = False

    def parse_known_args(  # pyright: ignore[reportIncompatibleMethodOverride]  # overloads
        self, args: Any = None, namespace: Any = None
    ) -> Any:
        """As argparse's, but what a command does not know is its own error, and not that of the
        program: argparse would show the usage of `rover` for it."""
        words = sys.argv[1:] if args is None else list(args)
        if self._subparsers is not None and words:
            self._check_option(words[0])
        parsed, unknown = super().parse_known_args(args, namespace)
        for word in unknown:
            self._check_option(word)
            self.error(f"unexpected argument {word!r}")
        return parsed, unknown

    def _check_option(self, word: str) -> None:
        name = word.partition("=")[0]
        known = [*self._option_string_actions]
        if name in ("", "-", "--") or not name.startswith("-") or name in known:
            return
        if _NUMBER.fullmatch(name):
            return
        near = _nearest(name, known)
        self.error(f"unknown option {name!r}" + (f"; did you mean {near!r}?" if near else ""))

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"{self.prog}: {_with_suggestion(message)}\n")


def _with_suggestion(message: str) -> str:
    """argparse's error with the word that was probably meant."""
    if no_number := _NO_NUMBER.fullmatch(message):
        return f"{no_number['name']}: {no_number['word']!r} is not a number"
    if not (unknown := re.fullmatch(_UNKNOWN, message)):
        return message
    word, known = unknown["word"], re.findall(r"[\w-]+", unknown["known"])
    near = _nearest(word, known)
    what = unknown["name"] if unknown["name"].startswith("-") else unknown["name"].lower()
    return f"unknown {what} {word!r}; " + (
        f"did you mean {near!r}?" if near else f"choose from: {', '.join(known)}"
    )


def _nearest(word: str, known: list[str]) -> str | None:
    # Imported here, because only a mistake needs it.
    import difflib

    return next(iter(difflib.get_close_matches(word.lower(), known, n=1)), None)


class LazyParser:
    """The parser of a command, which is built when something is asked of it: a call of rover needs
    one of some sixty."""

    def __init__(self, fill: Callable[[Parser], None], run: str | None, **named: Any) -> None:
        self._fill, self._run, self._named = fill, run, named
        self._parser: Parser | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.whole(), name)

    def whole(self) -> Parser:
        """The parser itself."""
        if self._parser is None:
            # Late: only help shows them.
            from rover_mcp.cli.help_examples import epilog

            shown = epilog(self._named["prog"])
            self._parser = Parser(parents=[shared_options()], epilog=shown, **self._named)
            if self._run:
                self._parser.set_defaults(run=self._run)
            self._fill(self._parser)
        return self._parser


def no_arguments(sub: Parser) -> None:
    """A command without arguments of its own."""


class Commands:
    """Adds commands to a parser. Nothing of a command is imported before it runs: most of them
    need what the others do not."""

    def __init__(self, parser: Parser, metavar: str, dest: str = argparse.SUPPRESS) -> None:
        # A class that does not derive from a parser, and stands for one.
        later: Any = LazyParser
        self._of = parser.add_subparsers(
            dest=dest, metavar=metavar, required=True, parser_class=later
        )

    def __call__(
        self, name: str, run: str | None, about: str, fill: Callable[[Parser], None] = no_arguments
    ) -> Parser:
        """Add a command. `run` is the function that runs it, as "module:function" of this package,
        or None where the command has commands of its own; `fill` adds its arguments when they are
        needed."""
        own: dict[str, Any] = {"fill": fill, "run": run}
        return self._of.add_parser(
            name, aliases=ALIASES.get(name, ()), help=about, description=about, **own
        )


def shared_options() -> Parser:
    """The options that may be before or after a command; where one is not given, the other place
    counts."""
    # With SUPPRESS an option that is not given leaves no default, which would overwrite the one
    # given before the command.
    shared = Parser(add_help=False, argument_default=argparse.SUPPRESS)
    shared.add_argument("--json", action="store_true", help="print the result as JSON")
    about = "the data folder (default: $ROVER_HOME, or ~/.local/share/rover)"
    shared.add_argument("--home", metavar="DIR", help=about)
    return shared
