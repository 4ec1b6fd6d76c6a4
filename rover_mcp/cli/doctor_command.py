"""`rover doctor`: checks whether a task can run here, and says what is missing."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from agent_runner.json_object import Json
from rover_mcp import __version__
from rover_mcp.cli import corrected_versions
from rover_mcp.cli.client import ClientError, McpClient
from rover_mcp.cli.git_probe import git_version, keeps_line_ends
from rover_mcp.cli.offline import run_offline
from rover_mcp.cli.render_status import agent_summary
from rover_mcp.cli.terminal_text import Paint, clean, size, wrap
from rover_mcp.launcher.daemon_client import DaemonUnavailable
from rover_mcp.launcher.handshake import unusable

OLDEST_PYTHON = (3, 11)
OLDEST_GIT = (2, 34)
LOW_DISK = 1_000_000_000
AGENT = "an agent"


@dataclass(frozen=True)
class Check:
    """`needed` checks decide whether a task could run."""

    name: str
    ok: bool
    detail: str
    todo: str = ""
    needed: bool = True


def run_checks(connect: Callable[[], McpClient], home: str) -> tuple[list[Check], Json | None]:
    """All checks, and the result of get_status if the daemon can be reached."""
    checks = [
        _python(),
        _git(),
        _folder(home),
        # Before the daemon is started below, which would create a database that is missing.
        *_records(home),
        *judge_programs(corrected_versions.find()),
    ]
    checks += _project(home)
    try:
        client = connect()
        try:
            status = client.call("get_status")
            hooks = _hooks(client)
        finally:
            client.close()
    except (DaemonUnavailable, ClientError) as error:
        failed = Check("daemon", False, error.message, error.hint or "see daemon.log in the folder")
        return [*checks, failed], None
    return [*checks, *judge_status(status), *judge_hooks(hooks)], status


def is_ready(checks: list[Check]) -> bool:
    return all(check.ok for check in checks if check.needed)


def judge_status(status: Json) -> list[Check]:
    """What get_status says, as checks: one engine and one agent are enough."""
    notice = clean(status.get("notice") or "")
    engines: list[Json] = status["engines"]
    agents: list[Json] = status["agents"]
    # One that works and still has something to say isolates nothing: only a name chooses it.
    works = [e["name"] for e in engines if e["available"] and not e.get("reason")]
    free: int = status["disk"]["free_bytes"]
    return [
        Check("daemon", not notice, f"version {status['version']}", notice, needed=False),
        *_queue(status.get("cannot_start")),
        *(_engine(e) for e in engines),
        Check(
            "a sandbox",
            bool(works),
            f"{works[0]} is used" if works else "no engine works",
            "" if works else "install Docker, or bubblewrap (Debian: apt install bubblewrap)",
        ),
        *(_agent(a) for a in agents),
        _agents(agents),
        *_unpriced(status.get("unpriced") or []),
        Check(
            "disk",
            free >= LOW_DISK,
            f"{size(free)} free",
            "" if free >= LOW_DISK else "free some space, or set ROVER_HOME to another disk",
            needed=False,
        ),
    ]


def _hooks(client: McpClient) -> list[Json]:
    """The user's hooks; empty where the daemon is from before hooks existed."""
    try:
        return client.request("rover/hooks", {"action": "list"})["hooks"]
    except ClientError as error:
        if error.code == "protocol -32601":
            return []
        raise


def judge_hooks(hooks: list[Json]) -> list[Check]:
    """Whether each of the user's hooks can deliver anything. A task runs without them too."""
    return [
        Check(
            f"hook {clean(hook['name'])}",
            not hook["problem"],
            clean(hook["problem"] or ", ".join(hook["events"])),
            "correct `hooks` in config.yaml, see docs/notifications.md",
            needed=False,
        )
        for hook in hooks
    ]


def lines(checks: list[Check], paint: Paint) -> list[str]:
    """One line for each check, with what to do below those that failed, and the verdict last."""
    out: list[str] = []
    for check in checks:
        bad = ("✘", "red") if check.needed else ("–", "yellow")
        mark, colour = ("✔", "green") if check.ok else bad
        room = None if paint.width is None else paint.width - 2
        first, *rest = wrap(f"{check.name:<22} {clean(check.detail)}".rstrip(), room)
        out += [paint(mark, colour) + first[1:], *(f"  {line}" for line in rest)]
        if check.todo and not check.ok:
            out += [paint(line, "dim") for line in wrap(clean(check.todo), paint.width, "    ")]
    if is_ready(checks):
        verdict = f"{paint('Ready.', 'green', 'bold')} See it work: {paint('rover demo', 'cyan')}"
    else:
        only_agent = is_ready([check for check in checks if check.name != AGENT])
        what = "No agent can work yet:" if only_agent else "A task cannot run yet:"
        verdict = f"{paint(what, 'red', 'bold')} fix what is marked ✘"
        if only_agent:
            verdict += f"; what needs no agent works: {paint('rover demo', 'cyan')}"
    return [*out, "", verdict]


def as_json(checks: list[Check], status: Json | None) -> Json:
    return {
        "ready": is_ready(checks),
        "checks": [asdict(check) for check in checks],
        "status": status,
    }


def judge_programs(programs: Sequence[corrected_versions.FoundProgram]) -> list[Check]:
    """Remarks about the programs that isolate sandboxes. A task runs regardless."""
    return [
        Check(concern.program, False, concern.detail, concern.todo, needed=False)
        for concern in corrected_versions.concerns(programs)
    ]


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    ok = sys.version_info >= OLDEST_PYTHON
    return Check("python", ok, f"{version}, rover {__version__}", "install Python 3.11 or later")


def _git() -> Check:
    path = shutil.which("git")
    if path is None:
        return Check("git", False, "not found", "install git (Debian: apt install git)")
    version = git_version(path)
    if not git_is_new_enough(version):
        oldest = ".".join(map(str, OLDEST_GIT))
        return Check("git", False, version, f"install git {oldest} or later")
    if not keeps_line_ends(path):
        why = "it loses a carriage return at the end of a path (CVE-2025-48384)"
        return Check("git", False, f"{version}: {why}", "install a git in which that is fixed")
    return Check("git", True, version)


def git_is_new_enough(version: str) -> bool:
    numbers = [int(part) for part in version.split(".")[:2] if part.isdigit()]
    return tuple(numbers) >= OLDEST_GIT


def _folder(home: str) -> Check:
    """Whether the data folder is writable or can be created. A file is written, because permissions
    alone do not reveal a full disk."""
    path = Path(home)
    if wrong := unusable(home):
        todo = "set ROVER_HOME to a folder with another name"
        return Check("data folder", False, f"{clean(repr(home))}: {wrong}", todo)
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = path / ".doctor"
        # A full disk still takes an empty file.
        probe.write_bytes(b"x" * 4096)
        probe.unlink()
    except OSError as error:
        todo = "make it writable, or set ROVER_HOME to a folder that is"
        return Check("data folder", False, f"{home}: {error.strerror}", todo)
    return Check("data folder", True, home)


def _records(home: str) -> list[Check]:
    """Where the records of tasks and their files disagree. This is checked before the daemon is
    started, which would create a database that is missing."""
    try:
        problems: list[tuple[str, str]] = run_offline("survey", home)
    except ClientError as error:
        return [Check("records", False, error.message, error.hint or "", needed=False)]
    if not problems:
        return []
    lines, helps = zip(*problems, strict=True)
    todo = "; ".join(dict.fromkeys(helps))
    return [Check("records", False, "; ".join(lines), todo, needed=False)]


def _project(home: str) -> list[Check]:
    """Programs that the files of the repository here ask for and bubblewrap's sandboxes lack."""
    try:
        missing: list[str] = run_offline("program_check", home, str(Path.cwd()))
    except ClientError as error:
        return [Check("this project", False, error.message, error.hint or "", needed=False)]
    return [Check("this project", False, f"on bubblewrap {line}", needed=False) for line in missing]


def _engine(entry: Json) -> Check:
    """One engine. If it works and still gives a reason, it isolates nothing: that is a warning, not
    a tick."""
    good, warning = bool(entry["available"]), clean(entry.get("reason") or "")
    detail = warning or clean(entry.get("version") or "works")
    if good and (limits := entry.get("limits_not_applied")):
        detail += f" (limits that it cannot apply here: {', '.join(map(clean, limits))})"
    todo = clean(entry.get("hint") or "")
    name = f"engine {clean(entry['name'])}"
    return Check(name, good and not warning, detail, todo, needed=False)


def _agent(entry: Json) -> Check:
    good = bool(entry["installed"] and entry["signed_in"])
    todo = clean(entry.get("hint") or "")
    return Check(f"agent {clean(entry['name'])}", good, agent_summary(entry), todo, needed=False)


def _agents(agents: list[Json]) -> Check:
    """The agents. One that can work is enough, but the one that plays scripts does not count."""
    can = [a["name"] for a in agents if a["installed"] and a["signed_in"] and not _plays(a)]
    if can:
        return Check(AGENT, True, ", ".join(map(clean, can)))
    plays = any(_plays(a) for a in agents)
    detail = "none can be used" + (", but `scripted`, which only plays scripts" if plays else "")
    todo = (
        "rover login anthropic (or openai, google) keeps a key; rover setup --write asks whether "
    )
    return Check(AGENT, False, detail, f"{todo}tasks use the login of your claude or codex")


def _plays(agent: Json) -> bool:
    return agent.get("source") == "built-in"


def _queue(trouble: Json | None) -> list[Check]:
    return [Check("queue", False, trouble["message"], trouble["hint"])] if trouble else []


def _unpriced(models: list[str]) -> list[Check]:
    if not models:
        return []
    detail = f"no price is known for {', '.join(map(clean, models))}"
    todo = "a budget in USD alone is refused for them: set budget_tokens, or prices in config.yaml"
    return [Check("budgets", False, detail, todo, needed=False)]
