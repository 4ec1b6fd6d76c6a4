"""Drives Codex, and reads its events and its rollout file (`codex exec --json`).

Lines recorded from version 0.169.0 are in tests/unit/agent_runner/agents/recorded/codex. Nothing
that a model wrote is ever taken for an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from agent_runner.agents.headless import (
    MAX_MESSAGE,
    HeadlessAgent,
    count,
    items,
    mapping,
    no_result,
    parse_line,
    shorten,
    string,
)
from agent_runner.agents.protocol import AgentRequest
from agent_runner.models import Failure, Usage
from agent_runner.process.commands import CommandStarter

PROVIDER = "openai"
SESSION_LOST = "no rollout found for thread id"
_STATUS = "http_status_code"


@dataclass
class Rollout:
    """What the end of a rollout file, the session's own file, says of its last turn."""

    error: Mapping[str, Any] = field(default_factory=dict[str, Any])
    resets_at: datetime | None = None
    usage: Usage | None = None

    @property
    def code(self) -> str | None:
        """Codex's class of the error."""
        info = self.error.get("codex_error_info")
        if isinstance(info, str):
            return info if info != "other" else None
        return next(iter(mapping(info)), None)

    @property
    def status(self) -> int | None:
        """The status of the provider's answer, if it is known."""
        statuses = [
            mapping(v).get(_STATUS) for v in mapping(self.error.get("codex_error_info")).values()
        ]
        return next((s for s in statuses if isinstance(s, int)), None)


def read_rollout(lines: Iterable[str]) -> Rollout:
    """Read a rollout file, or its end. A line that was cut is skipped."""
    rollout = Rollout()
    for line in lines:
        record = parse_line(line) or {}
        payload = mapping(record.get("payload"))
        kind = payload.get("type") if record.get("type") == "event_msg" else record.get("type")
        # One file holds every turn of the thread: what earlier ones say does not count.
        if kind == "task_started":
            rollout = Rollout()
        elif kind == "token_usage_record":
            rollout.usage = tokens(mapping(payload.get("turn_token_usage")))
        elif kind == "token_count":
            rollout.resets_at = _resets_at(mapping(payload.get("rate_limits"))) or rollout.resets_at
        elif kind == "task_complete":
            rollout.error = mapping(payload.get("error"))
    return rollout


@dataclass
class CodexStream:
    """The event stream of Codex. `rollout` is set at the end, if it could be read."""

    resumed: bool = False
    session_id: str | None = None
    version: str | None = None
    retry_delay: float | None = None
    text: str = ""
    rollout: Rollout = field(default_factory=Rollout)
    _last: dict[str, Any] = field(default_factory=dict[str, Any])
    _error: str = ""

    def take(self, event: Mapping[str, Any]) -> list[str]:
        """Learn from one event."""
        kind = event.get("type")
        if kind == "thread.started":
            self.session_id = string(event.get("thread_id")) or None
            return ["codex"]
        if kind in ("turn.completed", "turn.failed"):
            self._last = dict(event)
            return [self._end_line()]
        if kind == "error":
            self._error = string(event.get("message"))[:MAX_MESSAGE]
            return [shorten(self._error)]
        if kind in ("item.started", "item.completed"):
            return self._take_item(string(kind), mapping(event.get("item")))
        return []

    def take_stderr(self, line: str) -> list[str]:
        """Ignore it: what matters in it is read at the end."""
        return []

    @property
    def ended(self) -> bool:
        """Whether the turn has ended, well or not."""
        return bool(self._last)

    @property
    def succeeded(self) -> bool:
        """Whether it ended well."""
        return self._last.get("type") == "turn.completed"

    @property
    def usage(self) -> Usage:
        """The usage of this turn. The event has that of the complete thread, so for a resumed one
        only the rollout has the turn's."""
        if self.rollout.usage is not None:
            return self.rollout.usage
        counts = mapping(self._last.get("usage"))
        return tokens(counts) if counts and not self.resumed else Usage()

    def session_is_lost(self, stderr: Sequence[str]) -> bool:
        """Whether the thread that was to be resumed does not exist."""
        return self.session_id is None and any(SESSION_LOST in line for line in stderr)

    def failure(self, code: int, stderr: Sequence[str]) -> Failure:
        """Why the turn did not succeed: the rollout's class, the stream's message."""
        message = string(mapping(self._last.get("error")).get("message")) or self._error
        rollout = self.rollout
        if not message and not rollout.error:
            return no_result("codex", PROVIDER, code, stderr)
        # Of a 429 that was retried stdout says only "exceeded retry limit, last status: 429": the
        # reason and the time of the reset are in the rollout.
        return Failure(
            source="agent",
            message=(message or string(rollout.error.get("message")))[:MAX_MESSAGE],
            provider=PROVIDER,
            status=rollout.status,
            code=rollout.code,
            reset_at=rollout.resets_at,
        )

    def retry_failure(self) -> Failure:
        """The failure that it is about to retry; it never says how long it waits."""
        return Failure("agent", self._error or "codex waits to try again", PROVIDER)

    def _take_item(self, event: str, item: Mapping[str, Any]) -> list[str]:
        kind, done = item.get("type"), event == "item.completed"
        if kind == "agent_message" and done:
            self.text = string(item.get("text"))
            return [shorten(self.text)] if self.text.strip() else []
        if kind == "command_execution":
            return _command_lines(item, done=done)
        if kind == "file_change" and done:
            changes = items(item.get("changes"))
            return [shorten(f"{string(c.get('kind'))} {string(c.get('path'))}") for c in changes]
        if kind == "mcp_tool_call" and done:
            return [shorten(f"{string(item.get('server'))} {string(item.get('tool'))}")]
        if kind == "web_search" and done:
            return [shorten(f"web search {string(item.get('query'))}")]
        # An item of the type "error" is a warning of Codex itself, such as one about an unknown
        # model.
        return [shorten(string(item.get("message")))] if kind == "error" and done else []

    def _end_line(self) -> str:
        if not self.succeeded:
            return shorten("failed: " + string(mapping(self._last.get("error")).get("message")))
        counts = mapping(self._last.get("usage"))
        given, out = count(counts.get("input_tokens")), count(counts.get("output_tokens"))
        return f"done ({given} tokens in, {out} out, in all of this session)"


def tokens(counts: Mapping[str, Any]) -> Usage:
    """The usage by the API's counts, in which the input includes what came from a cache."""
    cached = count(counts.get("cached_input_tokens"))
    written = count(counts.get("cache_write_input_tokens"))
    return Usage(
        input_tokens=max(0, count(counts.get("input_tokens")) - cached - written),
        output_tokens=count(counts.get("output_tokens")),
        cache_read_tokens=cached,
        cache_write_tokens=written,
    )


def _command_lines(item: Mapping[str, Any], *, done: bool) -> list[str]:
    if not done:
        return [shorten(f"$ {string(item.get('command'))}")]
    code = item.get("exit_code")
    if not isinstance(code, int) or code == 0:
        return []
    output = string(item.get("aggregated_output")).strip().splitlines()
    return [shorten(f"  exit status {code}: {output[-1] if output else ''}")]


def _resets_at(limits: Mapping[str, Any]) -> datetime | None:
    """The last reset of the windows that are used up."""
    times = [_time(mapping(limits.get(name))) for name in ("primary", "secondary")]
    return max((at for at in times if at is not None), default=None)


def _time(window: Mapping[str, Any]) -> datetime | None:
    # A window that is not full has a reset time, too, which is not when this failure ends.
    used, at = window.get("used_percent"), window.get("resets_at")
    if not isinstance(used, int | float) or used < 100 or not isinstance(at, int | float):
        return None
    try:
        return datetime.fromtimestamp(at, UTC)
    except (OverflowError, ValueError, OSError):
        return None


NAME = "codex"
TOKEN_VARIABLE = "ROVER_AGENT_TOKEN"  # noqa: S105 - the name of a variable
ROLLOUT_BYTES = 1_000_000
ROLLOUT_TIMEOUT = 20.0
_THREAD = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# Read with the agent's rights: the file is the agent's own, and may be a link to anything.
_READ_ROLLOUT = (
    'for f in "$HOME"/.codex/sessions/*/*/*/rollout-*-"$1".jsonl; do'
    ' [ -f "$f" ] && tail -c "$2" -- "$f"; done'
)
# One retry of its own absorbs a blip; the runner does the rest of the waiting. By default it makes
# up to 30 requests of one call, because the two numbers multiply.
_CONFIG = {
    "model_provider": "rover",
    "model_providers.rover.name": "Rover",
    "model_providers.rover.env_key": TOKEN_VARIABLE,
    "model_providers.rover.wire_api": "responses",
    "model_providers.rover.request_max_retries": 1,
    "model_providers.rover.stream_max_retries": 1,
    "check_for_update_on_startup": False,
    "analytics.enabled": False,
}


class CodexAgent(HeadlessAgent[CodexStream]):
    """Drives `codex exec`. It chooses the id of its session and prints it in its first line.
    Tokens come with the outcome; codex prints no cost."""

    name = NAME
    provider = PROVIDER
    takes_session_id = False

    def _stream(self, request: AgentRequest) -> CodexStream:
        return CodexStream(resumed=request.resume is not None)

    async def _command(
        self, request: AgentRequest, commands: CommandStarter
    ) -> tuple[list[str], dict[str, str]]:
        # No event has the version, and the checkpoint is to hold it.
        await self.version(commands)
        schema = await _schema_file(commands, request)
        config = {**_CONFIG, "model_providers.rover.base_url": f"{request.base_url}/openai/v1"}
        # TOML's strings, numbers and booleans are written as JSON's.
        flags = [f for name, value in config.items() for f in ("-c", f"{name}={json.dumps(value)}")]
        argv = [
            self._program,
            "exec",
            "--json",
            # The sandbox is what protects: it holds nothing but the task. Codex's own sandbox is
            # read-only by default, and its runs then end with status 0 and without a change.
            "--dangerously-bypass-approvals-and-sandbox",
            # In a folder that codex does not know as trusted it would end with status 1.
            "--skip-git-repo-check",
            *flags,
            *(["-m", request.model] if request.model else []),
            *(["resume", request.resume.session_id] if request.resume else []),
            *(["--output-schema", schema] if schema else []),
            # The prompt is on standard input, which Codex reads to its end in any case.
            "-",
        ]
        return argv, {TOKEN_VARIABLE: request.token}

    async def _read_files(self, stream: CodexStream, commands: CommandStarter) -> None:
        stream.rollout = await _rollout(commands, stream.session_id)


async def _schema_file(commands: CommandStarter, request: AgentRequest) -> str | None:
    """Write the request's schema into a file. None without a schema, or if it cannot be written:
    the prompt asks for the same."""
    if request.schema is None:
        return None
    # In HOME: in some sandboxes each command has a /tmp of its own.
    script = ["sh", "-c", 'f=$HOME/.rover-answer-schema && cat > "$f" && printf %s "$f"']
    stdin = json.dumps(request.schema).encode()
    try:
        written = await commands.run(script, timeout=ROLLOUT_TIMEOUT, stdin=stdin)
    except OSError:
        return None
    return written.stdout.decode() if written.code == 0 else None


async def _rollout(commands: CommandStarter, session_id: str | None) -> Rollout:
    """What the session's file says of its last turn; nothing if it cannot be read."""
    if session_id is None or not _THREAD.fullmatch(session_id):
        return Rollout()
    script = ["sh", "-c", _READ_ROLLOUT, "codex", session_id, str(ROLLOUT_BYTES)]
    try:
        read = await commands.run(script, timeout=ROLLOUT_TIMEOUT, output_limit=ROLLOUT_BYTES)
    except OSError:
        return Rollout()
    return read_rollout(read.stdout.decode(errors="replace").splitlines())
