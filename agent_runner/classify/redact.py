"""Makes one bounded line without keys of what a provider or an agent said. Pure."""

from __future__ import annotations

import re

from agent_runner.printable import only_printable

# The formats of Anthropic, OpenAI, OpenRouter, Google, GitHub, GitLab, Groq, xAI, Hugging Face,
# Slack, AWS, Cursor and of JSON web tokens. Providers quote keys half masked, with asterisks.
_KEY = re.compile(
    r"\b(?:"
    r"(?:sk|pk|rk|xai|glpat|xox[a-z])-[\w*.-]{8,}"
    r"|(?:gh[a-z]|github_pat|gsk|hf|key)_[\w*.-]{16,}"
    r"|AIza[\w*.-]{16,}"
    r"|ya29\.[\w*.-]{8,}"
    r"|A(?:KIA|SIA)[A-Z0-9]{12,}"
    r"|eyJ[\w-]{8,}\.[\w.-]{8,}"
    r")"
)
_NAMED = re.compile(
    r"\b((?:bearer|basic) |(?:x-api-key|x-goog-api-key|api[_-]?key|token)[\"']?[=:] ?[\"']?)"
    r"[\w.~+/*-]{16,}=*",
    re.IGNORECASE,
)


def plain(text: str, most: int) -> str:
    """`text` as one line of at most `most` characters, with `[key]` in place of every key."""
    line = " ".join(text.lstrip()[: 4 * most].split())
    # Before the search: an invisible character inside a key would hide it.
    line = only_printable(line, "")
    return masked(line)[:most].rstrip()


def masked(text: str) -> str:
    """`text` with `[key]` in place of every key."""
    return _NAMED.sub(r"\1[key]", _KEY.sub("[key]", text))
