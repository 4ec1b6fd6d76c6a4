"""A view of one's own: who comes over HTTP has the tasks made under that name, and no others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent_runner.models import Pause, PauseReason
from rover_mcp.domain.errors import NotFound, UserFixable
from rover_mcp.domain.task_status import Event
from rover_mcp.server.event_broadcast import EventBroadcaster
from rover_mcp.server.session import ClientSession
from rover_mcp.tasks.auto_resume import switch_auto_resume
from rover_mcp.tasks.caller import Caller
from rover_mcp.tasks.view_models import TaskView
from tests.support.desk import ServerHarness
from tests.support.requests import create_request
from tests.support.samples import NOW


def user(desk: ServerHarness, name: str) -> Caller:
    return replace(desk.caller, client_id=f"http-{name}", user=name, projects=(desk.repo,))


def create(desk: ServerHarness, caller: Caller, **more: str) -> TaskView:
    return desk.tasks.create(caller, create_request("Do it", agent="scripted", **more))  # pyright: ignore[reportArgumentType]


def session(caller: Caller) -> ClientSession:
    def push(method: str, params: object) -> None:
        raise AssertionError(f"nothing is pushed here: {method} {params}")

    return ClientSession(caller, push)


def pause(desk: ServerHarness, task_id: str) -> None:
    told = Pause(reason=PauseReason.CREDITS, message="none left", since=NOW)
    desk.store.transitions.apply(task_id, Event.START, attempt=1)
    assert desk.store.transitions.apply(
        task_id, Event.PAUSE, pause=told, data=told.model_dump(mode="json")
    )


def test_a_foreign_task_is_as_unknown_as_none(desk: ServerHarness) -> None:
    ann, bob = user(desk, "ann"), user(desk, "bob")
    made = create(desk, ann)
    assert desk.tasks.finder.find(ann, made.id).owner == "ann"
    assert desk.tasks.finder.find(ann, "1").id == made.id
    told: list[str] = []
    for name in (made.id, "0" * 32, "1", "7"):
        with pytest.raises(NotFound) as caught:
            desk.tasks.finder.find(bob, name)
        assert caught.value.code == "unknown_task"
        assert made.id not in (caught.value.hint or "")
        told.append(str(caught.value).removesuffix(f" in {desk.repo}").replace(name, "X"))
    assert set(told) == {"there is no task X"}


def test_the_user_of_the_machine_sees_all_and_others_their_own(desk: ServerHarness) -> None:
    ann, bob = user(desk, "ann"), user(desk, "bob")
    ids = {name: create(desk, who).id for name, who in
           (("ann", ann), ("bob", bob), ("own", desk.caller))}  # fmt: skip

    def listed(caller: Caller, repo: str | None = None) -> set[str]:
        return {v.id for v in desk.tasks.list(caller, (), repo, None, 20)[0]}

    assert listed(desk.caller) == set(ids.values())
    for repo in (None, str(desk.repo)):
        assert listed(ann, repo) == {ids["ann"]}
        assert listed(bob, repo) == {ids["bob"]}


def test_the_same_request_key_of_two_users_makes_two_tasks(desk: ServerHarness) -> None:
    ann, bob = user(desk, "ann"), user(desk, "bob")
    made = [create(desk, who, request_key="k").id for who in (ann, bob, desk.caller, ann)]
    assert len(set(made)) == 3
    assert made[0] == made[3]


def test_a_repository_has_to_be_among_those_that_are_served(
    desk: ServerHarness, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    (other / ".git").mkdir(parents=True)
    link = tmp_path / "link"
    link.symlink_to(other)
    ann = user(desk, "ann")
    told: set[str] = set()
    wrong = (other, link, tmp_path / "nothing", desk.repo / ".git", desk.repo / "..", Path("repo"))
    for path in wrong:
        for call in (
            lambda path=path: create(desk, ann, repo_path=str(path)),
            lambda path=path: desk.tasks.list(ann, (), str(path), None, 20),
            lambda path=path: desk.tasks.finder.find(ann, "1", str(path)),
            lambda path=path: desk.status.workflows(ann, str(path)),
        ):
            with pytest.raises(UserFixable) as caught:
                call()
            assert caught.value.code == "unknown_project"
            told.add(str(caught.value))
    assert told == {"this repository is not served here"}
    assert desk.repositories.prepared == []
    several = replace(ann, projects=(desk.repo, other))
    with pytest.raises(UserFixable, match="name a repository"):
        create(desk, several)
    assert create(desk, several, repo_path=str(other)).repo_path == str(other)


def test_no_user_over_http_gets_around_the_sandbox_or_switches_for_all(desk: ServerHarness) -> None:
    ann = user(desk, "ann")
    with pytest.raises(UserFixable) as caught:
        create(desk, ann, engine="process")
    assert caught.value.code == "not_allowed"
    made = create(desk, ann)
    for scope in ("all", "project"):
        with pytest.raises(UserFixable) as caught:
            switch_auto_resume(desk.tasks, ann, False, scope, None, None)
        assert caught.value.code == "not_allowed"
    assert switch_auto_resume(desk.tasks, ann, False, "task", made.id, None).scope == "task"
    other = create(desk, user(desk, "bob"))
    with pytest.raises(NotFound):
        switch_auto_resume(desk.tasks, ann, False, "task", other.id, None)


async def _told(broadcaster: EventBroadcaster, who: ClientSession) -> list[str]:
    """What an answer tells, that arrives."""
    news = await broadcaster.attention(who, 10)
    who.report(news, 0)
    await broadcaster.confirm(who)
    return [e.task_id for e in news.events]


def test_attention_is_of_ones_own_tasks_and_is_taken_from_nobody(desk: ServerHarness) -> None:
    import anyio

    ann, bob = user(desk, "ann"), user(desk, "bob")
    hers, own = create(desk, ann).id, create(desk, desk.caller).id
    pause(desk, hers)
    pause(desk, own)

    async def scene() -> None:
        broadcaster = EventBroadcaster(desk.store)
        assert await _told(broadcaster, session(bob)) == []
        assert await _told(broadcaster, session(desk.caller)) == [own]
        watching = session(desk.caller)
        watching.watch(hers)
        assert await _told(broadcaster, watching) == [hers]
        # That the machine's user was told of it does not take it from her.
        first = session(ann)
        assert await _told(broadcaster, first) == [hers]
        assert await _told(broadcaster, first) == []
        assert await _told(broadcaster, session(ann)) == []

    anyio.run(scene)


def test_what_status_tells_names_no_foreign_project_or_task(desk: ServerHarness) -> None:
    elsewhere = desk.store.projects.register("elsewhere", "/elsewhere")
    desk.store.switches.set_for_project(elsewhere.id, enabled=False)
    assert desk.status.report(desk.caller)["auto_resume"]["off_in_projects"] == ["/elsewhere"]
    assert desk.status.report(user(desk, "ann"))["auto_resume"]["off_in_projects"] == []


def test_a_user_is_told_no_path_of_the_machine(desk: ServerHarness) -> None:
    own = desk.status.report(desk.caller)
    assert own["home"] == str(desk.tasks.settings.home)
    assert any(agent["path"] for agent in own["agents"])
    told = desk.status.report(user(desk, "ann"))
    assert told["home"] is None
    assert [agent["path"] for agent in told["agents"]] == [None] * len(told["agents"])
