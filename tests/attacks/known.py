"""Ways out of sandboxes and agents that became public, and the tests that try each of them here.

A test names what it tries: `@pytest.mark.known_escape(7)`. The marks are read from the sources, so
that the table in docs/security.md is made without running anything.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).parents[1]
MARK = "known_escape"


@dataclass(frozen=True)
class Known:
    """`missing` says what no test shows, and why."""

    number: int
    what: str
    references: str
    missing: str = ""


KNOWN = (
    Known(
        1,
        "The agent writes a file that a trusted program on the host runs later: editor tasks, "
        "hooks of agents, direnv, devcontainer, hook managers, package scripts, CI files",
        "CVE-2026-48124, CVE-2026-26268, CVE-2026-25725",
        "`rover merge` needs each of them to be accepted by name",
    ),
    Known(
        2,
        "Links and races while files are copied out of a sandbox",
        "CVE-2026-39861, CVE-2026-50549, CVE-2026-88968, CVE-2026-103916, CVE-2026-41568, "
        "CVE-2026-42306",
    ),
    Known(
        3,
        "Two parsers read one host name differently (NUL, CR, LF, TAB, `@`, ports, trailing dots)",
        "Claude Code 2.0.24 to 2.1.89 (NUL in SOCKS5), OpenShell #1498 and #1552",
    ),
    Known(
        4,
        "Code leaves by an allowed host: package uploads, `git push`, files of a provider's API",
        "CVE-2026-54316, GitLost",
        "code hosts and package registries of the default list take uploads from whoever brings an "
        "account, up to the bytes that a task may send to each host, which are shown: rules by "
        "method and path are not built yet",
    ),
    Known(
        5,
        "The masking of a secret fails open: the key comes back cut, encoded, or escaped",
        "CVE-2026-101998",
        "base64 in lines, encodings beside base64, hexadecimal digits and reversal, and a key that "
        "is spelled in pieces with other text between them are not recognised",
    ),
    Known(6, "A second credential of the attacker's rides along", "CVE-2026-105452"),
    Known(
        7,
        "Another user of the machine owns or prepared the folder of the state",
        "CVE-2026-126329, CVE-2026-46406",
    ),
    Known(
        8,
        "An image turns the sandbox off: by labels, annotations, USER, VOLUME, ENTRYPOINT",
        "CVE-2026-94603, CVE-2026-53492, CVE-2026-111361, CVE-2026-123876",
    ),
    Known(9, "Signals to groups of processes reach the host", "CVE-2026-97029"),
    Known(
        10,
        "An old bubblewrap (set-user-id), git, runc or podman",
        "CVE-2026-41163, CVE-2026-87766, CVE-2025-48384, CVE-2024-21626, CVE-2025-31133",
    ),
    Known(
        11,
        "A repository's configuration of agents and projects is obeyed before anybody trusts it",
        "CVE-2026-21852, CVE-2025-59536, CVE-2025-61260, CVE-2026-12537, CVE-2026-42074",
    ),
    Known(
        12,
        "MCP over HTTP: DNS rebinding, and answers of one client that reach another",
        "CVE-2025-66414, CVE-2025-66416, CVE-2026-34742, CVE-2026-35568, CVE-2026-25536",
    ),
    Known(13, "A control port is open to the network", "CVE-2026-112346"),
    Known(
        14,
        "Options hidden in names that a git library passes on",
        "CVE-2026-67322, CVE-2026-69097, CVE-2026-73619, CVE-2026-76221, CVE-2026-27735",
    ),
    Known(
        15,
        "git itself: carriage returns in paths of submodules, `bundle-uri`, promisor remotes",
        "CVE-2025-48384, CVE-2025-48385, CVE-2025-48386, CVE-2026-62960",
    ),
    Known(
        16,
        "Text of an issue or a request takes an agent over",
        "Comment and Control, PromptPwnd, GitLost",
        "An issue that is given as context comes with the comments of people with a role, quoted "
        "and without what its page hides, and gives the task no more rights than any other text: "
        "see CodeIPI below",
    ),
    Known(
        17,
        "A secret is hidden in what is delivered",
        "Ghostcommit",
        "not built yet: what an agent copies into another file is not searched for secrets. "
        "Inside are only those that the user lets in: files that `copies` names, an agent's own "
        "login with `passthrough`, what an own agent's `environment` holds",
    ),
    Known(
        18,
        "The proxy is attacked itself: its parsers, what name servers answer, and thousands of "
        "half-open connections",
        "the incident of July 2026 in an evaluation's egress proxy, sandy #88 to #95",
        "The gateway has no process of its own yet: whoever took it over would have the daemon, "
        "with the credentials",
    ),
    Known(
        19,
        "A user's text in an engine's labels, names, variables or annotations becomes syntax",
        "CVE-2026-50540, CVE-2026-14891",
    ),
    Known(
        20,
        "Programs for code hosts (`gh`, `glab`) send a token to another host",
        "CVE-2026-48501, GO-2024-3296",
        "`gh auth token` and `glab config get token` are asked for one host, without the caller's "
        "token variables; nothing else of these programs is run",
    ),
    Known(
        21,
        "The scenarios of SandboxEscapeBench, in the table below",
        "arXiv 2603.02277",
    ),
    Known(
        22,
        "A filter that reads commands is talked round",
        "CVE-2026-22708, CVE-2026-87983, NomShub",
    ),
    Known(
        23,
        "A page that shows tasks runs a script of the agent's",
        "reports and MCP apps of other products",
        "not built yet: there is no report and no board; what a terminal shows is tested",
    ),
)


def collect(folder: Path = TESTS) -> dict[int, list[str]]:
    """The tests that are marked with each number, as file::test."""
    found: defaultdict[int, list[str]] = defaultdict(list)
    for path in sorted(folder.rglob("test_*.py")):
        for test, number in marked(path.read_text("utf-8")):
            found[number].append(f"{path.relative_to(folder)}::{test}")
    return dict(found)


def marked(source: str) -> Iterator[tuple[str, int]]:
    """Each test of a file with each number that it is marked with, by itself or by its module."""
    tree = ast.parse(source)
    for_all = [
        number
        for node in tree.body
        if isinstance(node, ast.Assign) and "pytestmark" in map(ast.unparse, node.targets)
        for number in _numbers(node.value)
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name[:5] == "test_":
            own = [number for decorator in node.decorator_list for number in _numbers(decorator)]
            yield from ((node.name, number) for number in dict.fromkeys([*for_all, *own]))


def _numbers(node: ast.expr) -> list[int]:
    return [
        int(ast.literal_eval(argument))
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith(f"mark.{MARK}")
        for argument in call.args
    ]


def wrong(found: dict[int, list[str]]) -> list[str]:
    """What must be corrected: a row with neither a test nor a reason, a mark without a row."""
    rows = {known.number for known in KNOWN}
    bare = [k for k in KNOWN if not k.missing and k.number not in found]
    return [
        *(
            f"no test is marked known_escape({k.number}) ({k.what}), and no reason given"
            for k in bare
        ),
        *(f"{tests[0]}: there is no row {n}" for n, tests in found.items() if n not in rows),
    ]


def table(found: dict[int, list[str]]) -> list[str]:
    """The rows of the table, as Markdown."""
    return [
        "| | what was done to others | known as | shown here by |",
        "|---|---|---|---|",
        *(
            f"| {k.number} | {k.what} | {k.references} | {_shown(k, found.get(k.number, []))} |"
            for k in KNOWN
        ),
    ]


def _shown(known: Known, tests: list[str]) -> str:
    by_file: defaultdict[str, list[str]] = defaultdict(list)
    for test in tests:
        path, _, name = test.partition("::")
        by_file[path].append(name)
    named = [f"`{path}`: {', '.join(names)}" for path, names in by_file.items()]
    return ". ".join([*named, *([known.missing] if known.missing else [])])
