"""Turns the content blocks of an agent's messages into lines for the log. Pure.

Claude Code and Qwen Code print the content blocks of Anthropic's API:
https://docs.claude.com/en/api/messages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent_runner.agents.headless import items, mapping, shorten, string


def tool_line(name: object, given: object, telling: Sequence[str]) -> str:
    """A call of a tool as a line: its name, and the first input of `telling` that it has."""
    inputs = mapping(given)
    detail = next((string(inputs[k]) for k in telling if inputs.get(k)), "")
    return shorten(f"{string(name)} {detail}")


def message_lines(message: Mapping[str, Any], telling: Sequence[str]) -> list[str]:
    """The texts and tool calls of an assistant's message, a line each."""
    lines: list[str] = []
    for block in items(message.get("content")):
        if block.get("type") == "text" and (text := shorten(string(block.get("text")))):
            lines.append(text)
        elif block.get("type") == "tool_use":
            lines.append(tool_line(block.get("name"), block.get("input"), telling))
    return lines


def tool_errors(message: Mapping[str, Any]) -> list[str]:
    """The tool calls that failed, by the message that has their results, a line each."""
    return [
        shorten(f"  failed: {string(block.get('content'))}")
        for block in items(message.get("content"))
        if block.get("type") == "tool_result" and block.get("is_error") is True
    ]
