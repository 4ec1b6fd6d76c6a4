"""The last part of a command's --help: realistic calls. A test parses each of them."""

EXAMPLES = {
    "create": (
        'rover create "Fix the failing test in tests/test_sum.py" --watch',
        'rover create "Add a --dry-run option" --workflow swe-tdd --budget-usd 5',
        'rover create "Make the parser faster" --agents claude,codex --budget-usd 2',
    ),
    "list": (
        "rover list", "rover list --all --status PAUSED",
        "rover list --format '{number}\\t{status}\\t{title:.40}'",
    ),
    "inspect": (
        "rover inspect 3", "rover inspect 3 --full --json",
        "git switch $(rover inspect 3 --format '{branch}')",
    ),
    "report": ("rover report 3 --open", "rover report 3 --out task-3.html --trace trace.json"),
    "watch": ("rover watch 3",),
    "wait": ("rover wait 3 4", "rover wait --any"),
    "resume": ("rover resume 3 --watch", "rover resume 3 --agent codex --budget-usd 10"),
    "auto-resume": ("rover auto-resume off 3", "rover auto-resume on --all"),
    "pause": ("rover pause 3 4",),
    "restart": ("rover restart 3",),
    "history": ("rover history 3", "rover history 3 s4"),
    "fork": ("rover fork 3 s4", "rover fork 3 s4 'Use a queue' --agent codex",
             "rover fork 3 s4 --agents claude,codex"),
    "race": ("rover race 3",),
    "choose": ("rover choose 3", "rover choose 3 --yes"),
    "rewind": ("rover rewind 3 s4 'Use the standard library instead' --watch",),
    "iterate": (
        "rover iterate 3 'Also handle empty input' --watch",
        "rover iterate 3 --comment 'src/sum.py:12: name this total'",
    ),
    "review": ("rover review 3", "rover review 3 src --watch"),
    "cancel": ("rover cancel 3 4",),
    "merge": ("rover merge 3", "rover merge 3 --into main --squash --yes"),
    "push": ("rover push 3", "rover push 3 --remote fork --branch fix-sum --yes"),
    "rebase": ("rover rebase 3", "rover rebase 3 --onto main --yes"),
    "checkout": ("rover checkout 3", "rover checkout 3 --into ../look --yes",
                 "rover checkout 3 --here --yes"),
    "open": ("rover open 3", "rover open 3 --yes"),
    "shell": ("rover shell 3", "rover shell 3 -- make test"),
    "delete": ("rover delete 3", "rover delete 3 4 --yes"),
    "undelete": ("rover undelete 3", "rover undelete 0f3a9c21"),
    "gc": ("rover gc", "rover gc --yes", "rover gc trash --yes"),
    "prune": ("rover prune", "rover prune --status FAILED --status CANCELLED --yes"),
    "logs": ("rover logs 3 -f", "rover logs 3 --step test --tail 500"),
    "diff": ("rover diff 3", "rover diff 3 src --stat", "rover diff 3 --patch | git apply"),
    "board": ("rover board", "rover board --port 8766"),
    "usage": ("rover usage", "rover usage --by day --since 2w",
              "rover usage --by task --since 2026-11-01 --csv"),
    "login": ("rover login anthropic", "pass show openai | rover login openai --stdin"),
    "setup": ("rover setup", "rover setup claude codex --write"),
    "daemon": ("rover daemon status", "rover daemon restart"),
    "completion": ("source <(rover completion bash)",),
}  # fmt: skip


def epilog(prog: str) -> str | None:
    """The examples of `rover COMMAND`, below its options."""
    examples = EXAMPLES.get(prog.removeprefix("rover "))
    return "\n".join(["Examples:", *(f"  {line}" for line in examples)]) if examples else None
