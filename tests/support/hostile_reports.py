"""A report in which every text that a stranger can choose is hostile."""

from __future__ import annotations

from typing import Any, Final

from rover_mcp.report.report_models import AgentReport, LogReport, TaskReport
from rover_mcp.tasks.view_models import FileChange
from tests.support.sample_reports import usual_report

MARKER: Final = "rover_ran"
"""The name that a payload that runs would set on the window."""
_RUN: Final = f"window.{MARKER}=1"
_AWAY: Final = "https://away.invalid/x"
PAYLOADS: Final = (
    f"<script>{_RUN}</script>",
    f"</script><script>{_RUN}</script>",
    f"</style><script>{_RUN}</script>",
    f"</title><script>{_RUN}</script>",
    f"</pre></code></td></table></details></section><script>{_RUN}</script>",
    f"<img src={_AWAY} onerror={_RUN}>",
    f"<img src=x onerror={_RUN}>",
    f"<svg onload={_RUN}><image href={_AWAY}/></svg>",
    f"<svg><script>{_RUN}</script></svg>",
    f"<iframe srcdoc='<script>parent.{MARKER}=1</script>'></iframe>",
    f"<iframe src={_AWAY}></iframe>",
    f"<link rel=stylesheet href={_AWAY}>",
    f"<style>@import url({_AWAY}); * {{display: none}}</style>",
    f"<meta http-equiv=refresh content='0;url={_AWAY}'>",
    f"<base href={_AWAY}>",
    f"<form action={_AWAY}><button autofocus>x</button></form>",
    f"<video src={_AWAY} autoplay></video><audio src={_AWAY} autoplay></audio>",
    f"<object data={_AWAY}></object><embed src={_AWAY}>",
    f"<details open ontoggle={_RUN}>",
    f"<input autofocus onfocus={_RUN}>",
    f"\"' onmouseover={_RUN} style='position:fixed;inset:0' x=\"",
    f"[press](javascript:{_RUN}) [data](data:text/html,<script>{_RUN}</script>)",
    f"![picture]({_AWAY}) <{_AWAY}>",
    "{{ 7 * 7 }} {% for x in [1] %}{{ x }}{% endfor %} {{ self.__init__.__globals__ }}",
    f"\x1b]8;;javascript:{_RUN}\x07press\x1b]8;;\x07 \x1b]0;title\x07 \x1b[2J\x1b[31mred",
    "\x1b[38;2;255;255;255m\x1b[8mhidden\x1b[0m \x1b[999999999m \x1bP0;0|x\x1b\\\\",
    "\u202e gnp.exe \u2066\u2067 \u200b\ufeff \U000e0041",
    "\u0645\u0631\u062d\u0628\u0627 " * 20,
    "Z\u0351\u036b\u0343\u036a" * 200,
    "x" * 1_000_000,
    "a\0b\r\nc\u2028d\x85e",
    "-->]]><!--<![CDATA[",
    "&lt;script&gt; &#x3c;b&#x3e; &nbsp;&zwj;",
)
"""What strangers may write where a report shows it."""


def hostile_report() -> TaskReport:
    """A report in which every text that a stranger can choose is all of the payloads."""
    each = "\n".join(PAYLOADS)
    line = " ".join(text[:300] for text in PAYLOADS)
    patch = "".join(_hostile_file(number, text) for number, text in enumerate(PAYLOADS))
    report = usual_report(
        description=each[:20_000], summary=each[:20_000], checks=f"failed: {line}", patch=patch
    )
    task = report.task
    task.title = task.branch = task.repo_path = task.base_branch = task.agent = line
    task.workflow = task.model = task.engine = task.network = task.verdict = line
    task.warnings = list(PAYLOADS)
    assert task.changes
    task.changes.paths = [
        FileChange(path=text, added=1, removed=0, run_by=text[:500]) for text in PAYLOADS
    ]
    report.logs = [
        LogReport(iteration=1, step=text[:200], path=text[:2000], size=9, text=f"{each}\n{text}")
        for text in PAYLOADS[:10]
    ]
    for iteration, text in zip(report.iterations, PAYLOADS, strict=False):
        iteration.instructions = iteration.damage = text + line
        for row, payload in zip(iteration.rows, PAYLOADS, strict=False):
            _poison(row, payload)
    origins = report.provenance
    origins.asked_by = origins.workflow = origins.engine = line
    origins.images = list(PAYLOADS[:5])
    origins.agents = [AgentReport(name=text[:400], version=text[:400]) for text in PAYLOADS]
    for context in origins.context:
        context.title = context.origin = line
    return report


def _hostile_file(number: int, text: str) -> str:
    name = f"{number} {text}".split("\n")[0][:3000]
    body = "".join(f"+{line}\n" for line in text.split("\n"))
    return f"diff --git a/{name} b/{name}\n--- a/{name}\n+++ b/{name}\n@@ -0,0 +1 @@\n{body}"


def _poison(row: Any, text: str) -> None:
    for field in ("name", "type", "message", "who", "error", "agent", "detail", "text"):
        if field in type(row).model_fields:
            setattr(row, field, text)
    for one in getattr(row, "tries", ()):
        one.why = text
    for one in getattr(row, "passes", ()):
        for inner in one.rows:
            _poison(inner, text)
