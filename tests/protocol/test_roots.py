"""Roots in raw frames: what a client has open names the repository, where its folder is in none."""

from __future__ import annotations

from pathlib import Path

import pytest

from rover_mcp.server.roots import folder_of
from tests.support.frames import LEGACY, MODERN, Frame, LauncherClient
from tests.support.repos import git, make_repository
from tests.support.scripts import script

ARGUMENTS: Frame = {
    "description": "Do it",
    "workflow": "quick",
    "agent": "scripted",
    "engine": "bubblewrap",
    "script": script(implement=[{"say": "done"}]),
}


def create(client: LauncherClient, era: str, folders: list[Path]) -> Frame:
    """What create_task answers a client that starts in no repository and has these roots."""
    client.capabilities = {"roots": {}}
    client.open(era)
    roots = {"roots": [{"uri": f.as_uri(), "name": f.name} for f in folders]}
    params: Frame = {"name": "create_task", "arguments": ARGUMENTS}
    number = client.start_request("tools/call", params)
    if era == LEGACY:
        asked = client.wait_for(lambda f: f.get("method") == "roots/list")
        client.send({"jsonrpc": "2.0", "id": asked["id"], "result": roots})
        return client.answer(number)["result"]
    asked = client.answer(number)["result"]
    ((key, request),) = asked["inputRequests"].items()
    assert request["method"] == "roots/list"
    again = {**params, "inputResponses": {key: roots}}
    return client.answer(client.start_request("tools/call", again))["result"]


@pytest.mark.parametrize("era", [LEGACY, MODERN])
def test_the_only_repository_among_the_roots_is_meant(shared: Path, era: str) -> None:
    """V3: programs with a window start servers in / or in HOME."""
    inside = shared / "repo" / "folder"
    for folder in (inside, shared / "none"):
        folder.mkdir(exist_ok=True)
    with LauncherClient(shared / "data", shared / "none") as client:
        result = create(client, era, [shared / "none", shared / "repo", inside])
        task = result["structuredContent"]["task"]
        done = client.wait_until(task["id"], "COMPLETED")
        assert git(shared / "repo", "rev-parse", "--verify", "-q", done["branch"])


@pytest.mark.parametrize("era", [LEGACY, MODERN])
def test_of_several_repositories_the_hint_names_each(shared: Path, era: str) -> None:
    other, nowhere = shared / "other", shared / "nowhere"
    if not other.exists():
        make_repository(other)
    nowhere.mkdir(exist_ok=True)
    with LauncherClient(shared / "data", nowhere) as client:
        result = create(client, era, [shared / "repo", other])
        error = result["structuredContent"]["error"]
        assert error["code"] == "no_repository"
        assert f"as repo_path: {shared / 'repo'}, {other}" in error["hint"]


def test_roots_that_are_in_no_repository_change_nothing(shared: Path) -> None:
    nowhere = shared / "nowhere"
    nowhere.mkdir(exist_ok=True)
    with LauncherClient(shared / "data", nowhere) as client:
        error = create(client, MODERN, [nowhere])["structuredContent"]["error"]
        assert error["code"] == "no_repository"
        assert "roots" not in error["message"]


@pytest.mark.parametrize(
    ("uri", "folder"),
    [
        ("file:///a%20b/c", Path("/a b/c")),
        ("file://localhost/a", Path("/a")),
        ("file://elsewhere/a", None),
        ("https://example.org/a", None),
        ("file:///a%00b", None),
        ("file:relative", None),
        ("file://[", None),
    ],
)
def test_a_root_is_a_folder_of_this_machine(uri: str, folder: Path | None) -> None:
    assert folder_of(uri) == folder
