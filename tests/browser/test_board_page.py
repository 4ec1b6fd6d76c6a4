"""The board's page in a real Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from agent_runner.models import PauseReason
from rover_mcp.domain.task_status import Event, TaskStatus
from rover_mcp.store import store_tables
from tests.support.board_site import TOKEN, BoardSite
from tests.support.browser import Browser, Page
from tests.support.fetched import npm_modules
from tests.support.samples import new_task, pause, run_state

HOSTILE = (
    "<script>document.title = 'owned'</script>", "</script><script>document.title = 'owned'//",
    "<img src=x onerror=\"document.title='owned'\">", "<svg onload=\"document.title='owned'\">",
    "<a href=\"javascript:document.title='owned'\">click</a>", "{{7*7}} ${7*7} <%= 7*7 %>",
    "\x1b]8;;http://evil.example\x07link\x1b]8;;\x07", "\u202egnp.exe", "x" * 100_000,
    "<base href=http://evil.example/>", "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<style>*{display:none}</style>", "' onclick='document.title=1", "&lt;b&gt; &amp;#60;",
    "\u2028\u2029\u0000", "<iframe src=//evil.example>", "data: x\n\nevent: all\ndata: {}",
)  # fmt: skip


@pytest.fixture
def site(tmp_path: Path) -> Iterator[BoardSite]:
    with BoardSite(tmp_path) as made:
        made.desk.store.projects.register("p1", str(made.desk.repo))
        yield made


def make(site: BoardSite, number: int, event: Event | None = None, title: str = "Fix it") -> str:
    """A task that runs, or what became of it."""
    store, task_id = site.desk.store, f"{number:032x}"
    new = new_task(task_id, title=title, project_path=str(site.desk.repo))
    store.tasks.create(new, frozenset())
    store.claims.start(task_id, 1, f"attempt-{task_id}-1")
    store.attempts.move(task_id, 1, ("starting",), state="running")
    if event is not None:
        become(site, task_id, event)
    return task_id


def become(site: BoardSite, task_id: str, event: Event) -> None:
    store = site.desk.store
    store.attempts.move(task_id, 1, ("running",), state="ended")
    values: dict[str, Any] = {"error": "it broke"} if event is Event.FAIL else {}
    if event is Event.PAUSE:
        why = pause(PauseReason.REQUESTED)
        values = {"pause": why, "data": why.model_dump(mode="json")}
    assert store.transitions.apply(task_id, event, attempt=1, run_state=run_state(), **values)


def copies(site: BoardSite, task_id: str, numbers: range) -> None:
    """The record of a task under other numbers, in one transaction."""
    table = store_tables.tasks
    with site.desk.engine.begin() as connection:
        record = connection.execute(sa.select(table).where(table.c.id == task_id)).one()
        other = [{**record._mapping, "id": f"{n:032x}", "number": n} for n in numbers]
        connection.execute(table.insert(), other)


_WAIT = """new Promise((resolve) => {
  const check = () => { let value; try { value = (%s); } catch { return; }
    if (value) { observer.disconnect(); resolve(true); } };
  const observer = new MutationObserver(check);
  observer.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
  check();
})"""


def visit(browser: Browser, url: str) -> Page:
    """A new page, which begins to load."""
    page = browser.new_page()
    page.send("Page.navigate", url=url)
    browser.wait("Page.loadEventFired", page.session)
    return page


def wait_for(page: Page, condition: str) -> None:
    """Wait until an expression is true, which is looked at after each change of the page."""
    assert page.evaluate(_WAIT % condition)


def press(page: Page, key: str) -> None:
    text, code = (key, 0) if len(key) == 1 else ("", 27)
    page.send(
        "Input.dispatchKeyEvent", type="keyDown", key=key, text=text, windowsVirtualKeyCode=code
    )
    page.send("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)


def resize(page: Page, width: int, *, dark: bool = False) -> None:
    page.size(width, 900)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    page.send("Emulation.setEmulatedMedia", features=[scheme])


def row(task_id: str) -> str:
    return f"document.querySelector('[data-id=\"{task_id}\"]')"


def group(task_id: str) -> str:
    return f"{row(task_id)}?.closest('section').dataset.group"


def opened(browser: Browser, site: BoardSite, condition: str) -> Page:
    page = visit(browser, site.url)
    wait_for(page, condition)
    return page


def status(site: BoardSite, task_id: str) -> TaskStatus:
    task = site.desk.store.tasks.get(task_id)
    assert task is not None
    return task.status


def test_the_token_leaves_the_address_and_a_reload_still_works(
    browser: Browser, site: BoardSite
) -> None:
    task = make(site, 1)
    page = opened(browser, site, row(task))
    assert page.evaluate("location.href") == f"http://{site.authority}/"
    page.send("Page.reload")
    browser.wait("Page.loadEventFired", page.session)
    wait_for(page, row(task))
    assert [url for url in page.requests if TOKEN in url] == []
    assert page.console == []


def test_a_page_without_a_token_says_how_to_get_one(browser: Browser, site: BoardSite) -> None:
    make(site, 1)
    page = visit(browser, f"http://{site.authority}/#stale")
    wait_for(page, "document.getElementById('message').textContent.includes('rover board')")
    assert page.evaluate("document.querySelectorAll('.row').length") == 0


def test_a_change_is_shown_where_it_belongs(browser: Browser, site: BoardSite) -> None:
    task, other = make(site, 1), make(site, 2, Event.COMPLETE)
    page = opened(browser, site, row(other))
    assert page.evaluate(group(task)) == "working"
    become(site, task, Event.FAIL)
    wait_for(page, f"{group(task)} === 'failed'")
    become_paused = make(site, 3, Event.PAUSE)
    wait_for(
        page, f"{group(become_paused)} === 'needs you' && document.title === '(1) Rover board'"
    )
    site.desk.store.deletions.put(other)
    wait_for(page, f"!{row(other)}")


def test_the_keyboard_is_enough(browser: Browser, site: BoardSite) -> None:
    paused, failed = make(site, 1, Event.PAUSE), make(site, 2, Event.FAIL)
    page = opened(browser, site, row(failed))
    press(page, "j")
    assert page.evaluate("document.activeElement.dataset.id") == paused
    press(page, "j")
    press(page, "s")
    wait_for(page, f"{group(failed)} === 'idle'")
    press(page, "j")
    press(page, "1")
    wait_for(page, f"{group(paused)} === 'working'")
    assert status(site, paused) is TaskStatus.IN_PROGRESS
    press(page, "?")
    assert page.evaluate("document.getElementById('keys').open") is True
    press(page, "Escape")
    assert page.evaluate("document.getElementById('keys').open") is False


def test_a_merge_is_shown_before_it_is_done(browser: Browser, site: BoardSite) -> None:
    task = make(site, 1, Event.COMPLETE)
    page = opened(browser, site, row(task))
    press(page, "j")
    press(page, "1")
    wait_for(page, "document.getElementById('ask').open")
    assert page.evaluate("document.getElementById('ask-preview').textContent") != ""
    press(page, "Escape")
    wait_for(page, f"!{row(task)}.querySelector('button').disabled")
    assert page.evaluate("document.getElementById('ask').open") is False
    assert status(site, task) is TaskStatus.COMPLETED
    press(page, "j")
    press(page, "1")
    wait_for(page, "document.getElementById('ask').open")
    page.evaluate("document.getElementById('ask-do').click()")
    wait_for(page, f"{group(task)} === 'idle'")
    assert status(site, task) is TaskStatus.MERGED


def test_nothing_in_a_task_runs_loads_or_breaks_the_page(browser: Browser, site: BoardSite) -> None:
    """R3."""
    tasks = [make(site, n, Event.COMPLETE, title) for n, title in enumerate(HOSTILE, start=1)]
    page = opened(browser, site, row(tasks[-1]))
    for width in (1400, 400):
        resize(page, width)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.title") == "Rover board"
    assert (
        page.evaluate("document.querySelectorAll('.rows *:not(li,bdi,p,span,div,button)').length")
        == 0
    )
    assert page.evaluate("document.querySelectorAll('.row').length") == len(HOSTILE)
    assert page.console == []
    outside = [url for url in page.requests if not url.startswith(f"http://{site.authority}/")]
    assert [url for url in outside if url != "about:blank"] == []


def test_a_thousand_tasks_are_usable(browser: Browser, site: BoardSite) -> None:
    task = make(site, 1)
    copies(site, make(site, 2, Event.COMPLETE), range(3, 1001))
    page = opened(browser, site, "document.querySelectorAll('.row').length === 1000")
    assert page.evaluate("document.querySelectorAll('[data-group=finished] .row').length") == 999
    become(site, task, Event.FAIL)
    wait_for(page, f"{group(task)} === 'failed'")
    press(page, "j")
    assert page.evaluate("document.activeElement.dataset.id") == task


@pytest.mark.parametrize("dark", [False, True])
def test_contrast_names_and_roles_pass_axe(browser: Browser, site: BoardSite, dark: bool) -> None:
    for number, event in enumerate((None, Event.PAUSE, Event.FAIL, Event.COMPLETE), start=1):
        task = make(site, number, event)
    page = opened(browser, site, row(task))
    resize(page, 400, dark=dark)
    axe = npm_modules("axe-core-4.10.3", "axe-core@4.10.3") / "axe-core" / "axe.min.js"
    page.evaluate(axe.read_text())
    violations = page.evaluate(
        "axe.run().then((found) => found.violations.map((v) => [v.id, v.nodes.map((n) => n.html)]))"
    )
    assert violations == []
