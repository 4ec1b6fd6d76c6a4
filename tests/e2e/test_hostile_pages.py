"""O4, through create_task and a real network of another machine with a name server: pages that are
too large, that never end, and that lead to addresses which nobody may be led to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.context_network import INTRANET, PAGES, ContextNetwork
from tests.support.far_web import page, redirect
from tests.support.private_network import HERE, PUBLIC_HERE, PUBLIC_THERE, THERE
from tests.support.scripts import script

GIGABYTE = 1024**3
CHUNK = "<p>more of it</p>\n" * 4096
SECRET = "/secret"
PRIVATE = "not a public address"
CASES: dict[str, tuple[str, str]] = {
    "a page of 1 GB": (f"https://{PAGES}/large", "larger than 5,000,000 bytes"),
    "a page without end": (f"https://{PAGES}/endless", "larger than 5,000,000 bytes"),
    "to loopback": (f"https://{PAGES}/loopback", PRIVATE),
    "to loopback by another spelling": (f"https://{PAGES}/spelled", "0x7f.1"),
    "to loopback without TLS": (f"https://{PAGES}/plain", "leads away from https"),
    "to a private address": (f"https://{PAGES}/private", PRIVATE),
    "to a name with a private address": (f"https://{PAGES}/name", PRIVATE),
    "to this machine's public address": (f"https://{PAGES}/own", "the machine that Rover runs on"),
    "in a circle": (f"https://{PAGES}/circle", "more than 5 redirects"),
    "a name with a private address": (f"https://{INTRANET}{SECRET}", PRIVATE),
    "a name with two addresses": (f"https://both.example.org{SECRET}", PRIVATE),
    "a private address": (f"https://{THERE}{SECRET}", PRIVATE),
    "a name that resolves anew": ("https://rebind.example.org/hop", PRIVATE),
    "a name that resolves anew to loopback": ("https://loop.example.org/hop", PRIVATE),
    "a name that does not exist": ("https://nowhere.example.org/", "nowhere.example.org"),
}


def pages() -> dict[str, Any]:
    large, endless = page(CHUNK), page(CHUNK)
    to = {
        "loopback": "https://127.0.0.1/", "spelled": "https://0x7f.1/",
        "plain": "http://127.0.0.1/", "private": f"https://{THERE}{SECRET}",
        "name": f"https://{INTRANET}{SECRET}", "own": f"https://{PUBLIC_HERE}/",
        "circle": f"https://{PAGES}/circle",
    }  # fmt: skip
    return {
        f"{PAGES}/fine": page("<p>the answer is 42</p>"),
        f"{PAGES}/large": large | {"times": GIGABYTE // len(CHUNK)},
        f"{PAGES}/endless": endless | {"times": -1},
        **{f"{PAGES}/{name}": redirect(target) for name, target in to.items()},
        **{f"{host}/hop": redirect(SECRET) for host in ("rebind.example.org", "loop.example.org")},
    }


@dataclass(frozen=True)
class Outcome:
    answers: dict[str, dict[str, Any]]
    fine: dict[str, Any]
    tasks: list[dict[str, Any]]
    asked: list[str]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    network = ContextNetwork(tmp_path_factory.mktemp("hostile"))
    network.pages = pages()
    network.names |= {
        "both.example.org": [[PUBLIC_THERE, THERE]],
        "rebind.example.org": [[PUBLIC_THERE], [THERE]],
        "loop.example.org": [[PUBLIC_THERE], ["127.0.0.1"]],
    }
    base = {"description": "Read it", "workflow": "quick", "agent": "scripted",
            "engine": "bubblewrap", "script": script(implement=[{"say": "read"}])}  # fmt: skip
    addresses = [*(address for address, _ in CASES.values()), f"https://{PAGES}/fine"]
    calls = [
        {"tool": "create_task", "arguments": {**base, "context": [address]}}
        for address in addresses
    ]
    *refused, fine, tasks = network.call([*calls, {"tool": "list_tasks", "arguments": {}}])[0]
    asked = [request["at"] for request in network.requests()]
    return Outcome(dict(zip(CASES, refused, strict=True)), fine, tasks["tasks"], asked)


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_with_the_reason_and_what_to_do(outcome: Outcome, case: str) -> None:
    """O4, O5."""
    address, why = CASES[case]
    error = outcome.answers[case]["error"]
    assert error["code"] == "context_not_fetched"
    assert address in error["message"]
    assert why in error["message"]
    assert "nothing was created" in error["hint"]


def test_nothing_at_a_private_address_was_asked_and_no_task_was_made(outcome: Outcome) -> None:
    """O4, O5."""
    assert "error" not in outcome.fine
    assert len(outcome.tasks) == 1
    # The first look at the page that redirects is allowed; what it leads to is never asked for.
    assert {at for at in outcome.asked if SECRET in at} == set()
    assert f"{PAGES}/fine" in outcome.asked
    # These names were good at their first lookup, and were not connected to after the second.
    assert {"rebind.example.org/hop", "loop.example.org/hop"} <= set(outcome.asked)
    assert not [at for at in outcome.asked if at.startswith((HERE, THERE, PUBLIC_HERE))]
