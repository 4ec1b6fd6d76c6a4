"""Out of a running sandbox, through the real gateway of the real daemon: to no place that is not
allowed, and each refusal stands in `inspect` with the setting that would allow it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from rover_mcp.domain.network_policy import BadHost, parse_authority
from tests.attacks.attack import PWNED, AttackOutput, fill, results, shell
from tests.attacks.classes import egress
from tests.attacks.conftest import ENGINES
from tests.attacks.stage import AttackedHost
from tests.support.frames import LauncherClient
from tests.support.real_claude import claude_binary
from tests.support.scripts import script

ADDRESSES = (*egress.LOOPBACK, *egress.SPELLED, *egress.NOT_PUBLIC, *egress.PUBLIC)
EVERY = {
    "allowlist": (*ADDRESSES, *egress.NAMES),
    # What a name leads to is looked up under this one, so no name is asked for.
    "open": ADDRESSES,
}
CLASSES = {"allowlist": (egress.BY_ADDRESS, egress.BY_NAME), "open": (egress.BY_ADDRESS,)}


@dataclass(frozen=True)
class RefusedDestinations:
    """A task that asked for every place under one policy."""

    policy: str
    task: dict[str, Any]
    places: dict[str, str]
    warned: str
    played: dict[str, AttackOutput]
    hits: list[str]


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module", params=list(EVERY))
def refused(
    request: pytest.FixtureRequest, stage: AttackedHost, engine: str
) -> RefusedDestinations:
    policy: str = request.param
    attacks = [attack for kind in CLASSES[policy] for attack in kind.attacks]
    places = stage.places(engine)
    stage.workflow("egress", [{"id": "attack", "type": "agent", "prompt": "x"}])
    stage.forget_hits()
    made = stage.client.tool(
        "create_task", description="Go elsewhere", workflow="egress", agent="scripted",
        engine=engine, script=script(attack=[{"run": shell(attacks, places)}]),
        network=policy, auto_resume=False,
    )["task"]  # fmt: skip
    done = stage.ended(made)
    assert done["status"] == "COMPLETED", done
    full = stage.client.tool("inspect", task=made["id"], detail="full")["task"]
    played = results(stage.log(made, "attack"))
    return RefusedDestinations(policy, full, places, str(done["warnings"]), played, stage.hits())


@pytest.mark.known_escape(3)
def test_every_place_is_refused_before_anything_is_sent(refused: RefusedDestinations) -> None:
    wanted = {attack.name for kind in CLASSES[refused.policy] for attack in kind.attacks}
    assert set(refused.played) == wanted
    for played in refused.played.values():
        assert played.status == 0, played.said
        assert PWNED not in played.said, played.said
    assert refused.hits == []


def test_each_refusal_stands_in_inspect_with_what_would_allow_it(
    refused: RefusedDestinations,
) -> None:
    told = {entry["host"]: entry for entry in refused.task["refused"]}
    for place in EVERY[refused.policy]:
        asked = fill(place.asked, refused.places)
        found = [entry for host, entry in told.items() if _is(asked, host)]
        assert found, (asked, list(told))
        for entry in found:
            assert entry["reason"]
            if place.remedy is None:
                assert not entry.get("remedy"), entry
            else:
                assert entry["remedy"].startswith(place.remedy), entry
                assert "network.allow of config.yaml" in entry["remedy"]
    assert "the network policy refused" in refused.warned


def _is(asked: str, told: str) -> bool:
    """Whether a refusal is of this place; an IPv6 address is told in its shortest form."""
    if told in (asked, f"http://{asked}/"):
        return True
    try:
        return parse_authority(asked) == parse_authority(told)
    except BadHost:
        return False


@dataclass
class RedirectingProvider:
    """A provider that sends every call to the host's loopback."""

    to: str
    asked: list[str] = field(default_factory=list[str])
    url: str = ""


@contextmanager
def redirecting(to: str) -> Iterator[RedirectingProvider]:
    made = RedirectingProvider(to)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            made.asked.append(self.path)
            self.send_response(302)
            self.send_header("location", made.to)
            self.send_header("content-length", "0")
            self.end_headers()

        do_GET = do_POST  # noqa: N815 - the name that http.server calls

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.real_agent
def test_a_providers_redirect_is_followed_by_nobody(stage: AttackedHost, engine: str) -> None:
    """The task is one of the real Claude's, so that its sandbox may call the provider; it is a
    command that calls."""
    places = stage.places(engine)
    folder = stage.root / "programs"
    folder.mkdir(exist_ok=True)
    if not (folder / "claude").exists():
        (folder / "claude").symlink_to(claude_binary())
    attack = shell(egress.BY_REDIRECT.attacks, places)
    command = {"id": "attack", "type": "command", "name": "Attack", "command": attack}
    condition = "steps.attack.outputs.success == never"
    never = {"id": "never", "type": "agent", "prompt": "x", "if": condition}
    stage.workflow("redirected", [command, never])
    stage.forget_hits()
    with redirecting(f"http://127.0.0.1:{stage.port}/secret") as provider:
        env = {
            **stage.env,
            "ANTHROPIC_BASE_URL": provider.url,
            "PATH": f"{folder}:{os.environ['PATH']}",
        }
        with LauncherClient(stage.data, stage.repository, env) as client:
            client.open()
            task = client.tool(
                "create_task", description="Follow", workflow="redirected", agent="claude",
                engine=engine, auto_resume=False, network="allowlist",
            )["task"]  # fmt: skip
            done = client.wait_until(task["id"], "COMPLETED")
    played = results(stage.log(done, "attack"))["redirects"]
    assert played.status == 0, played.said
    assert PWNED not in played.said, played.said
    assert provider.asked == ["/v1/messages", "/v1/models"]
    assert stage.hits() == []
    told = stage.client.tool("inspect", task=task["id"], detail="full")["task"]["refused"]
    assert [entry["host"] for entry in told] == [f"127.0.0.1:{stage.port}"]
