"""Replaces placeholders, in one pass, so that no inserted text is read as a placeholder.

    {{inputs.x}}   {{steps.a.outputs.y}}   {{task.title}}   {{task.description}}
    {{task.base_commit}}

In a prompt the value itself is inserted. In a command no value becomes part of the script: the
placeholder is replaced by the expansion of an environment variable that holds the value, quoted
as its place requires. Whatever the value holds, the shell reads it as text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from agent_runner.workflow.conditions import Values

VALUE_BYTES = 100_000
"""The most bytes of one value in a command. Linux limits one environment string to 128 KiB."""

TOTAL_BYTES = 1_000_000
"""The most bytes of all values of a command: half of what Linux allows for an exec."""

# Bounded, and without braces or line ends inside, so that code in a prompt, such as a template of
# another language, is left as it is.
_PLACEHOLDER = re.compile(r"\{\{([^{}\n]{1,300})\}\}")
_NAME = r"([A-Za-z_][A-Za-z0-9_-]*)"
_INPUT = re.compile(rf"inputs\.{_NAME}")
_OUTPUT = re.compile(rf"steps\.{_NAME}\.outputs\.{_NAME}")
TASK = ("title", "description", "base_commit")
_TASK = re.compile(rf"task\.({'|'.join(TASK)})")
_OURS = re.compile(r"(?:inputs|steps|task)\b")


class ValuesTooLarge(ValueError):
    """The values of a command are more than the system can pass to it."""


@dataclass(frozen=True)
class ShellCommand:
    """A bash script, and the environment variables with the values that it uses."""

    script: str
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Placeholder:
    """One placeholder of a template. `text` is what is in the braces; `step` is None if it names an
    input, and `name` is None if it names neither; `offset` is its place in the template."""

    text: str
    step: str | None
    name: str | None
    offset: int


def placeholders(template: str) -> Iterator[Placeholder]:
    """The placeholders that name an input or an output, or begin like that and never have a
    value."""
    for match in _PLACEHOLDER.finditer(template):
        text = match[1].strip()
        if output := _OUTPUT.fullmatch(text):
            yield Placeholder(text, output[1], output[2], match.start())
        elif given := _INPUT.fullmatch(text):
            yield Placeholder(text, None, given[1], match.start())
        elif _OURS.match(text) and not _TASK.fullmatch(text):
            yield Placeholder(text, None, None, match.start())


class Renderer:
    """Replaces placeholders by values. Unknown ones become empty text, with one warning each."""

    def __init__(self, task: Mapping[str, str], warn: Callable[[str], None]) -> None:
        self._task = task
        self._warn = warn
        self._warned: set[str] = set()

    def text(self, template: str, values: Values) -> str:
        """The template with the values in it, for a prompt or an argument."""
        return _PLACEHOLDER.sub(lambda m: self._value(m[1].strip(), values), template)

    def command(self, template: str, values: Values) -> ShellCommand:
        """The template as a bash script.

        Raises:
            ValuesTooLarge: together the values are over TOTAL_BYTES.
        """
        environment: dict[str, str] = {}
        names: dict[str, str] = {}
        parts: list[str] = []
        end = 0
        quotes = _Quotes()
        for match in _PLACEHOLDER.finditer(template):
            between = template[end : match.start()]
            quotes.read(between)
            parts.append(between)
            expression = match[1].strip()
            # One variable for each expression: a value of many kilobytes that is used several times
            # is passed once.
            if expression not in names:
                names[expression] = f"ROVER_VALUE_{len(names) + 1}"
                environment[names[expression]] = self._argument(expression, values)
            parts.append(quotes.expansion(names[expression]))
            end = match.end()
        parts.append(template[end:])
        # The kernel would refuse the exec with E2BIG, which says neither which values are large nor
        # that they are.
        if sum(len(v.encode()) for v in environment.values()) > TOTAL_BYTES:
            raise ValuesTooLarge(f"the command's values are over {TOTAL_BYTES} bytes together")
        return ShellCommand("".join(parts), environment)

    def _argument(self, expression: str, values: Values) -> str:
        """A value as an environment variable can hold it: without NUL, and not too long."""
        # An environment variable ends at the first NUL.
        value = self._value(expression, values).replace("\0", "")
        data = value.encode(errors="replace")
        if len(data) <= VALUE_BYTES:
            return data.decode()
        self._warn_once(f"{{{{{expression}}}}} was cut to its last {VALUE_BYTES} bytes")
        # The end, because that is where output says what went wrong.
        return data[-VALUE_BYTES:].decode(errors="ignore")

    def _value(self, expression: str, values: Values) -> str:
        value: str | None = None
        if match := _INPUT.fullmatch(expression):
            value = values.inputs.get(match[1])
        elif match := _OUTPUT.fullmatch(expression):
            outputs = values.steps.get(match[1])
            if not outputs:
                return ""  # skipped, or not run yet: the workflow knows that it may be
            value = outputs.get(match[2])
        elif match := _TASK.fullmatch(expression):
            value = self._task.get(match[1])
        if value is None:
            self._warn_once(f"placeholder {{{{{expression}}}}} has no value; it was left empty")
            return ""
        return value

    def _warn_once(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            self._warn(message)


class _Quotes:
    """Tracks which quotes of a shell script are open. A wrong guess is never unsafe, because what
    is inserted is an expansion and not the value."""

    def __init__(self) -> None:
        self._open = ""
        self._comment = False
        self._escaped = False
        self._word_start = True

    def read(self, text: str) -> None:
        for char in text:
            self._step(char)

    def expansion(self, name: str) -> str:
        self._word_start = self._escaped = False
        if self._open == '"':
            return f"${{{name}}}"
        if self._open == "'":
            # An expansion does nothing inside single quotes, so they are closed before it and
            # opened again behind it.
            return f"'\"${{{name}}}\"'"
        return f'"${{{name}}}"'

    def _step(self, char: str) -> None:
        if self._escaped:
            self._escaped = False
        elif self._comment:
            self._comment = char != "\n"
        elif char == "\\" and self._open != "'":
            self._escaped = True
        elif self._open:
            if char == self._open:
                self._open = ""
        elif char in "'\"":
            self._open = char
        elif char == "#" and self._word_start:
            self._comment = True
        self._word_start = char in " \t\n;&|(" and not self._open
