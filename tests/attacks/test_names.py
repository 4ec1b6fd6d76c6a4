"""Names that two parsers could take for two hosts, in every place where a request names one."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rover_mcp.domain.network_policy import BadHost, NetworkPolicy, parse_host
from rover_mcp.gateway.policy import destination, judge
from rover_mcp.gateway.tunnel import ClientHello, WrongServerName
from tests.unit.gateway.test_egress import BASIC, gate, run
from tests.unit.gateway.test_tunnel import hello, with_extension

OURS, THEIRS = "pypi.org", "attacker.example"
POLICY = NetworkPolicy()
_JOINTS = st.sampled_from(
    ["", "\0", "%00", "\r", "\n", "\r\n", "\t", " ", "@", "\\", "/", "#", "?", "[", "]", ".", ",",
     ";", ":", ":443", ":80", ":0443", ":+443", "*.", "%2e", "%40", "\u3002", "\uff0e", "xn--", "\x7f"]
)  # fmt: skip
_WORDS = st.sampled_from(
    [OURS, THEIRS, OURS.upper(), f"{OURS}.", f"{OURS}..", f"{OURS}.{THEIRS}", "localhost",
     "127.0.0.1", "[::1]", "0x7f.1", "2130706433", "p\u0443pi.org", "", "169.254.169.254"]
)  # fmt: skip
names = st.lists(st.one_of(_WORDS, _JOINTS), min_size=1, max_size=5).map("".join)


@pytest.mark.known_escape(3)
@settings(deadline=None)
@given(names, st.sampled_from(["CONNECT", "GET", "HEAD"]))
def test_a_name_that_passes_is_the_one_that_is_dialled(name: str, method: str) -> None:
    """Anchor 3: what may pass is one plain spelling of a listed host; whatever else stands there is
    refused, in a CONNECT as in an absolute URL, and never interpreted."""
    targets = [name, f"{name}:443"] if method == "CONNECT" else [f"http://{name}/x"]
    for target in targets:
        try:
            to = destination(method, target)
        except BadHost:
            continue
        if not judge(POLICY, method, to).allowed:
            continue
        spelled = target.removeprefix("http://").partition("/")[0].lower()
        assert spelled.rpartition(":")[0] in (to.host.name, f"{to.host.name}.") or spelled in (
            to.host.name,
            f"{to.host.name}.",
        )
        assert THEIRS not in to.host.name
        assert parse_host(to.host.name) == to.host


@pytest.mark.known_escape(3)
@settings(deadline=None)
@given(names)
def test_a_name_that_is_greeted_is_the_one_that_was_judged(name: str) -> None:
    """Anchor 3: the server name in a TLS ClientHello is the CONNECT's, or nothing passes."""
    raw = name.encode("utf-8")
    body = (len(raw) + 3).to_bytes(2) + b"\0" + len(raw).to_bytes(2) + raw
    with suppress(WrongServerName):
        greeting = with_extension(hello(None), 0, body)
        if ClientHello(OURS).pass_on(greeting):
            assert name.lower() in (OURS, f"{OURS}.")


@pytest.mark.known_escape(3)
def test_the_real_gateway_dials_what_it_judged(tmp_path: Path) -> None:
    """Anchor 3, over its socket, in raw bytes: Host, the absolute form, and CONNECT, with another
    host behind every joint. Nothing but the listed name is ever looked up."""
    joints = [b"\0", b"%00", b"\r", b"\n", b"\t", b" ", b"@", b"\\", b"#", b"?", b".", b":443@"]
    token = BASIC.encode()

    async def work() -> None:
        async with gate(tmp_path / "g.sock") as here:
            for joint in joints:
                for one, other in ((OURS, THEIRS), (THEIRS, OURS)):
                    name = one.encode() + joint + other.encode()
                    for line in (b"CONNECT %b:443", b"GET http://%b/", b"GET http://pypi.org/"):
                        asked = line % name if b"%b" in line else line
                        reader, writer = await here.send(
                            asked
                            + b" HTTP/1.1\r\nHost: "
                            + name
                            + b"\r\n"
                            + token
                            + b"\r\nConnection: close\r\n\r\n"
                        )
                        with suppress(ConnectionError):
                            await reader.read()
                        writer.close()
            assert set(here.internet.looked_up) <= {OURS, f"{THEIRS}.{OURS}"}
            assert not any(THEIRS in name for name in here.internet.looked_up)
            assert here.internet.connected == []

    run(work)
