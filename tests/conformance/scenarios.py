"""Which scenarios of the suite say something about Rover's own server, and why the others do not.

Measured with the pinned version; facts: mcp.md, section 6b. docs/conformance.md shows it, and is
written by `python -m tests.conformance.scenarios > docs/conformance.md`.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.conformance.suite import SUITE

LEGACY, MODERN = "2025-11-25", "2026-07-28"

PASSED = {
    LEGACY: {
        "server-initialize": 3,
        "server-session-lifecycle": 3,
        "logging-set-level": 2,
        "ping": 2,
        "tools-list": 3,
        "resources-list": 2,
        "prompts-list": 2,
        "server-sse-multiple-streams": 2,
        "dns-rebinding-protection": 2,
    },
    MODERN: {
        "server-stateless": 24,
        "tools-list": 4,
        "resources-list": 2,
        "prompts-list": 2,
        "sep-2164-resource-not-found": 4,
        "caching": 8,
        "http-header-validation": 14,
        "server-sse-multiple-streams": 1,
        "dns-rebinding-protection": 2,
        "input-required-result-unsupported-methods": 2,
    },
}
"""By version of the protocol, each with its number of checks that pass, so that a suite that stopped
checking is noticed."""

UNMET = {
    "server-stateless": {
        "sep-2575-server-rejects-undeclared-capability": "calls a tool test_missing_capability",
        "sep-2575-missing-capability-http-400": "calls a tool test_missing_capability; what it asks "
        "for is tested with tasks/get in tests/protocol/test_http.py",
        "sep-2575-http-server-no-independent-requests-on-stream": "calls a tool "
        "test_streaming_elicitation",
        "sep-2575-server-no-log-without-loglevel": "calls a tool test_logging_tool",
        "sep-2575-server-sends-prompts-list-changed-on-subscription": "calls "
        "test_trigger_prompt_change; the prompts never change",
        "sep-2575-server-sends-tools-list-changed-on-subscription": "calls "
        "test_trigger_tool_change; the tools never change",
    }
}
"""Checks of these scenarios that are not met, and why."""

_UNKNOWN_TOOL = "any answer to a tool that is not there satisfies it"
EMPTY = {
    "tools-call-simple-text": _UNKNOWN_TOOL,
    "tools-call-error": _UNKNOWN_TOOL,
    "completion-complete": "completes an argument of a prompt that is not there: any empty list is right",
    "input-required-result-missing-input-response": _UNKNOWN_TOOL,
    "input-required-result-ignore-extra-params": _UNKNOWN_TOOL,
    "input-required-result-validate-input": _UNKNOWN_TOOL,
}
"""Passed, or could be, without saying anything; not counted and not run."""


def _needs(what: str, *names: str) -> dict[str, str]:
    return dict.fromkeys(names, f"needs {what}")


_TOOLS = "tools that only an example server has"
NOT_OURS = {
    **_needs(
        _TOOLS, "tools-call-image", "tools-call-audio", "tools-call-embedded-resource",
        "tools-call-mixed-content", "tools-call-with-logging", "tools-call-with-progress",
        "tools-call-sampling", "tools-call-elicitation", "elicitation-sep1034-defaults",
        "elicitation-sep1330-enums", "json-schema-2020-12",
    ),
    **_needs(
        "a tool test_reconnection, and streams that can be taken up again, which Rover's are not",
        "server-sse-polling",
    ),
    **_needs(
        "a resource test://watched-resource; Rover follows what exists, and refuses others",
        "resources-subscribe", "resources-unsubscribe",
    ),
    **_needs(
        "resources of an example server (test://...)",
        "resources-read-text", "resources-read-binary", "resources-templates-read",
    ),
    **_needs(
        "prompts of an example server (test_simple_prompt, ...)",
        "prompts-get-simple", "prompts-get-with-args", "prompts-get-embedded-resource",
        "prompts-get-with-image",
    ),
    **_needs("a tool with x-mcp-header, which Rover has none of",
             "http-custom-header-server-validation"),
    **_needs(
        "tools that ask before they answer (test_input_required_result_*); Rover's ask in their task",
        "input-required-result-basic-elicitation", "input-required-result-basic-sampling",
        "input-required-result-basic-list-roots", "input-required-result-request-state",
        "input-required-result-multiple-input-requests", "input-required-result-multi-round",
        "input-required-result-non-tool-request", "input-required-result-result-type",
        "input-required-result-tampered-state", "input-required-result-capability-check",
    ),
    **_needs(
        "the skills extension, which Rover does not offer",
        "sep-2640-skills-directory", "sep-2640-skills-enumeration", "sep-2640-skills-manifest",
    ),
    "tasks-status-notifications": "is skipped by the suite itself; tests/protocol has what it would "
    "check",
}  # fmt: skip
"""What it would take to run them."""

TASKS = {
    "tasks-lifecycle": 9,
    "tasks-capability-negotiation": 5,
    "tasks-wire-fields": 4,
    "tasks-request-state-removal": 3,
    "tasks-mrtr-input": 4,
    "tasks-request-headers": 5,
    "tasks-dispatch-and-envelope": 9,
    "tasks-required-task-error": 3,
    "tasks-mrtr-composition": 2,
}
"""Run against Rover's own extension in an app that has the suite's tools, each with its checks."""


def as_markdown() -> Iterator[str]:
    """docs/conformance.md, line by line."""
    yield "# What the official conformance suite says"
    yield ""
    yield f"`{SUITE}`, by name of scenario. These numbers are not a score: most scenarios are about"
    yield "tools, resources and prompts that only an example server has. Generated from"
    yield "`tests/conformance/scenarios.py`; `tests/conformance` runs it, and a test fails when this"
    yield "page differs. The suite speaks HTTP and sends no token, so a relay of the test adds one."
    for version, scenarios in PASSED.items():
        yield from ("", f"## Rover's server over HTTP, protocol {version}", "")
        yield from ("| scenario | checks passed | not met |", "|---|---|---|")
        for name, checks in scenarios.items():
            unmet = len(UNMET.get(name, {}))
            yield f"| {name} | {checks} | {f'{unmet}, see below' if unmet else ''} |"
    for name, checks in UNMET.items():
        yield from (
            "",
            f"### Checks of {name} that are not met",
            "",
            "| check | why |",
            "|---|---|",
        )
        yield from (f"| {check} | {why} |" for check, why in checks.items())
    yield from ("", "## The Tasks extension", "")
    yield "Rover's own extension in an app that has the tools which the suite calls."
    yield from ("", "| scenario | checks passed |", "|---|---|")
    yield from (f"| {name} | {checks} |" for name, checks in TASKS.items())
    yield from (
        "",
        "## Passed without meaning, and not counted",
        "",
        "| scenario | why |",
        "|---|---|",
    )
    yield from (f"| {name} | {why} |" for name, why in EMPTY.items())
    yield from ("", "## Not run", "", "| scenario | why |", "|---|---|")
    yield from (f"| {name} | {why} |" for name, why in NOT_OURS.items())


if __name__ == "__main__":
    print("\n".join(as_markdown()))
