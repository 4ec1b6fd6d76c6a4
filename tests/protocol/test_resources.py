"""Resources, prompts and completions in raw frames, in both eras."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rover_mcp.domain.ids import short_id
from tests.support.frames import LEGACY, MODERN, Frame, LauncherClient
from tests.support.scripts import script

ESCAPED = "\x1b[31mred\x1b]0;title\x07"


@pytest.fixture(params=[LEGACY, MODERN])
def client(request: pytest.FixtureRequest, shared: Path) -> Iterator[LauncherClient]:
    with LauncherClient(shared / "data", shared / "repo") as opened:
        opened.open(request.param)
        yield opened


def done(client: LauncherClient) -> Frame:
    """A task that is COMPLETED, with a file, a log and a diff."""
    edits = [{"path": "new.txt", "content": f"new {ESCAPED}\n"}]
    task = client.tool(
        "create_task",
        description="Add new.txt",
        workflow="quick",
        agent="scripted",
        engine="bubblewrap",
        script=script(implement=[{"say": f"said {ESCAPED}", "edits": edits}]),
    )["task"]
    return client.wait_until(task["id"], "COMPLETED")


def read(client: LauncherClient, uri: str) -> str:
    (content,) = client.request("resources/read", {"uri": uri})["result"]["contents"]
    assert content["uri"] == uri
    return content["text"]


def test_every_template_is_read_and_agrees_with_the_tools(client: LauncherClient) -> None:
    task = done(client)
    base = f"rover://tasks/{task['id']}"
    templates = client.request("resources/templates/list")["result"]["resourceTemplates"]
    assert [t["uriTemplate"] for t in templates] == [
        "rover://tasks/{id}",
        "rover://tasks/{id}/journal",
        "rover://tasks/{id}/diff",
        "rover://tasks/{id}/steps/{step}/log",
        "rover://workflows/{name}",
    ]
    view = json.loads(read(client, base))
    assert (view["id"], view["status"]) == (task["id"], "COMPLETED")
    records = [json.loads(line) for line in read(client, f"{base}/journal").splitlines()]
    assert records
    assert read(client, f"{base}/diff") == client.tool("get_diff", task=task["id"])["patch"]
    assert "said red" in read(client, f"{base}/steps/implement/log")
    assert "steps:" in read(client, "rover://workflows/quick")
    assert json.loads(read(client, "rover://tasks"))["tasks"][0]["id"] == task["id"]
    # A list of the tool has the beginning of each id, by which it can be read, too.
    [short] = [t["id"] for t in client.tool("list_tasks")["tasks"] if t["number"] == view["number"]]
    assert (short, task["id"].startswith(short)) == (short_id(task["id"]), True)
    assert json.loads(read(client, f"rover://tasks/{short}"))["id"] == task["id"]


def test_no_resource_but_the_exact_diff_holds_what_a_terminal_obeys(
    client: LauncherClient,
) -> None:
    base = f"rover://tasks/{done(client)['id']}"
    for uri in (base, f"{base}/journal", f"{base}/steps/implement/log"):
        assert "\x1b" not in read(client, uri), uri


def test_the_list_has_what_can_be_followed_and_comes_in_pages(client: LauncherClient) -> None:
    task = done(client)
    listed = client.request("resources/list")["result"]
    uris = [r["uri"] for r in listed["resources"]]
    assert uris[0] == "rover://tasks"
    assert {"rover://workflows/quick", f"rover://tasks/{task['id']}"} <= set(uris)
    assert "nextCursor" not in listed
    assert client.request("resources/list", {"cursor": "x"})["error"]["code"] == -32602


@pytest.mark.parametrize(
    "uri",
    ["", "rover://", "rover://tasks/", "rover://tasks/1", "rover://tasks/" + "0" * 32,
     "rover://tasks/" + "0" * 32 + "/diff", "rover://workflows/none", "rover://workflows/..%2Fx",
     "rover://workflows/../quick", "file:///etc/passwd", "rover://tasks?x=1"],
)  # fmt: skip
def test_what_is_not_there_is_invalid_params(client: LauncherClient, uri: str) -> None:
    assert client.request("resources/read", {"uri": uri})["error"]["code"] == -32602


def test_a_workflow_that_links_elsewhere_shows_nothing_of_it(
    client: LauncherClient, shared: Path
) -> None:
    secret = shared / "secret.txt"
    secret.write_text("the secret")
    folder = shared / "repo" / ".rover" / "workflows"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "leak.yaml").unlink(missing_ok=True)
    (folder / "leak.yaml").symlink_to(secret)
    answer = client.request("resources/read", {"uri": "rover://workflows/leak"})
    assert answer["error"]["code"] == -32602
    assert "the secret" not in json.dumps(answer)


def test_prompts_name_tools_that_there_are(client: LauncherClient) -> None:
    tools = {t["name"] for t in client.request("tools/list")["result"]["tools"]}
    listed = client.request("prompts/list")["result"]["prompts"]
    assert [p["name"] for p in listed] == ["delegate", "review_task", "triage_paused"]
    arguments = {"delegate": {"goal": "Fix it"}, "review_task": {"task": "1"}}
    for one in listed:
        got = get(client, one["name"], arguments.get(one["name"]))["result"]
        text = got["messages"][0]["content"]["text"]
        assert any(name in text for name in tools)
        assert len(text) < 2000


def get(client: LauncherClient, name: str, arguments: dict[str, str] | None) -> Frame:
    more: dict[str, Any] = {"arguments": arguments} if arguments is not None else {}
    return client.request("prompts/get", {"name": name, **more})


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("none", {}), ("delegate", None), ("delegate", {"goal": " "}), ("review_task", {"x": "1"}),
     ("delegate", {"goal": "x" * 50_001}), ("triage_paused", {"task": "1"})],
)  # fmt: skip
def test_a_wrong_prompt_says_what_it_takes(
    client: LauncherClient, name: str, arguments: dict[str, str] | None
) -> None:
    assert get(client, name, arguments)["error"]["code"] == -32602


def complete(
    client: LauncherClient, ref: Frame, name: str, value: str, **context: str
) -> list[str]:
    more: Frame = {"context": {"arguments": context}} if context else {}
    argument = {"name": name, "value": value}
    answer = client.request("completion/complete", {"ref": ref, "argument": argument, **more})
    return answer["result"]["completion"]["values"]


def test_tasks_steps_and_workflows_are_completed(client: LauncherClient) -> None:
    task = done(client)
    prompt = {"type": "ref/prompt", "name": "review_task"}
    assert str(task["number"]) in complete(client, prompt, "task", "")
    assert complete(client, prompt, "task", "none") == []
    address = {"type": "ref/resource", "uri": "rover://tasks/{id}/steps/{step}/log"}
    assert complete(client, address, "id", task["id"][:12]) == [task["id"]]
    assert complete(client, address, "step", "imp", id=task["id"]) == ["implement"]
    assert "quick" in complete(
        client, {"type": "ref/resource", "uri": "rover://workflows/{name}"}, "name", "q"
    )
    assert complete(client, {"type": "ref/prompt", "name": "delegate"}, "workflow", "qu") == [
        "quick"
    ]


def test_who_follows_all_tasks_hears_of_a_new_one(shared: Path) -> None:
    home, repository = shared / "data", shared / "repo"
    with LauncherClient(home, repository) as legacy, LauncherClient(home, repository) as modern:
        legacy.open(LEGACY)
        legacy.request("resources/subscribe", {"uri": "rover://tasks"})
        modern.open(MODERN)
        wanted = {"resourcesListChanged": True, "resourceSubscriptions": ["rover://tasks"]}
        modern.start_request("subscriptions/listen", {"notifications": wanted})
        modern.wait_for(lambda f: f.get("method") == "notifications/subscriptions/acknowledged")
        done(legacy)
        for one in (legacy, modern):
            one.wait_for(
                lambda f: (
                    f.get("method") == "notifications/resources/updated"
                    and f["params"]["uri"] == "rover://tasks"
                )
            )
        modern.wait_for(lambda f: f.get("method") == "notifications/resources/list_changed")


def test_only_tasks_can_be_followed(shared: Path) -> None:
    with LauncherClient(shared / "data", shared / "repo") as client:
        client.open(LEGACY)
        for uri in ("rover://workflows/quick", "rover://tasks/" + "0" * 32, "rover://tasks/1"):
            answer = client.request("resources/subscribe", {"uri": uri})
            assert answer["error"]["code"] == -32602
