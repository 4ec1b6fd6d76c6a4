"""Which hosts a sandbox may reach (the gateway decides by name)."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rover_mcp.domain.network_policy import (
    IF_ALLOWED,
    BadHost,
    Host,
    HostPattern,
    NetworkMode,
    NetworkPolicy,
    parse_host,
)
from rover_mcp.gateway.default_allowlist import DEFAULT, PROVIDER_HOSTS, as_markdown, default_entry
from rover_mcp.gateway.policy import HostVerdict, destination, is_public, judge, judge_addresses

ALLOWLIST = NetworkPolicy()
OPEN = NetworkPolicy(mode=NetworkMode.OPEN)


def judged(policy: NetworkPolicy, request: str) -> HostVerdict:
    method, target = request.split(" ", 1)
    return judge(policy, method, destination(method, target))


@pytest.mark.parametrize(
    "request_line",
    [
        "CONNECT pypi.org:443",
        "CONNECT files.pythonhosted.org:443",
        "CONNECT registry.npmjs.org:443",
        "CONNECT index.crates.io:443",
        "CONNECT proxy.golang.org:443",
        "CONNECT rubygems.org:443",
        "CONNECT repo1.maven.org:443",
        "CONNECT github.com:443",
        "CONNECT gitlab.com:443",
        "CONNECT de.archive.ubuntu.com:443",
        "CONNECT PyPI.org:443",
        "CONNECT pypi.org.:443",
        "GET http://deb.debian.org/debian/dists/bookworm/InRelease",
        "HEAD http://deb.debian.org:80/debian",
        "GET HTTP://DEB.DEBIAN.ORG",
        "GET http://dl-cdn.alpinelinux.org?x",
    ],
)
def test_registries_and_git_hosts_pass_by_default(request_line: str) -> None:
    assert judged(ALLOWLIST, request_line).allowed


@pytest.mark.parametrize(
    ("request_line", "why", "remedy"),
    [
        ("CONNECT example.org:443", "not on the allow-list", '"example.org" in network.allow'),
        ("CONNECT github.com:22", "port 22 of github.com", '"github.com:22" in network.allow'),
        ("CONNECT pypi.org:80", "port 80 of pypi.org", '"pypi.org:80" in network.allow'),
        ("GET http://pypi.org/", "by https only", '"pypi.org:80" in network.allow'),
        ("POST http://deb.debian.org/", "only GET and HEAD", None),
        ("CONNECT evilpypi.org:443", "not on the allow-list", '"evilpypi.org" in'),
        ("CONNECT pypi.org.evil.example:443", "not on the allow-list", "network: open"),
        ("CONNECT archive.ubuntu.com.evil.example:443", "not on the allow-list", "open"),
        ("CONNECT upload.pypi.org:443", "not on the allow-list", '"upload.pypi.org" in'),
        ("CONNECT 8.8.8.8:443", "hosts are asked for by name", '"8.8.8.8" in network.allow'),
        ("CONNECT [2606:4700::1111]:443", "asked for by name", '"[2606:4700::1111]" in'),
        ("CONNECT 169.254.169.254:80", "not a public address", None),
        ("CONNECT 192.168.0.7:8081", "not a public", '"192.168.0.7:8081" in network.allow'),
        ("CONNECT 127.0.0.1:443", "not a public address", None),
        ("GET http://127.0.0.1:8080/", "not a public address", None),
        ("CONNECT [::1]:443", "not a public address", None),
        ("CONNECT [::ffff:127.0.0.1]:443", "not a public address", None),
        ("CONNECT [64:ff9b::7f00:1]:443", "not a public address", None),
    ],
)
def test_the_rest_is_refused_with_what_would_allow_it(
    request_line: str, why: str, remedy: str | None
) -> None:
    verdict = judged(ALLOWLIST, request_line)
    assert why in verdict.reason
    if remedy is None:
        assert verdict.remedy is None
    else:
        assert remedy in (verdict.remedy or "")


@pytest.mark.known_escape(3)
@pytest.mark.parametrize(
    "target",
    [
        "pypi.org", "pypi.org:", ":443", "pypi.org:0", "pypi.org:065", "pypi.org:65536", "pypi.org:4430000",
        "pypi.org:443:443", "pypi.org :443", "pypi.org\x00.evil:443", "pypi.org%00:443",
        "user@pypi.org:443", "user:pw@pypi.org:443", "pypi.org\\@evil:443", "pypi.org/:443",
        "pypi.org#:443", "pypi.org?:443", "pypi..org:443", ".pypi.org:443", "pypi.org..:443",
        "-pypi.org:443", "pypi-.org:443", "localhost:443", "metadata:80", "pÿpi.org:443",
        "pypi。org:443", "pypi.org:４４３", "127.1:443", "127.0.0.1.:443", "0177.0.0.1:443",
        "0x7f.0.0.1:443", "0x7f000001:443", "2130706433:443", "127.0.0.01:443", "1.2.3.4.5:443",
        "256.0.0.1:443", "example.0x1:443", "[::1:443", "::1:443", "[::1%25lo]:443",
        "[fe80::1%lo]:443", "[127.0.0.1]:443", "[::1].pypi.org:443", "[]:443",
        "https://pypi.org:443", "*.pypi.org:443", "a" * 64 + ".org:443", "a." * 130 + "org:443",
    ],
)  # fmt: skip
@pytest.mark.parametrize("mode", [NetworkMode.ALLOWLIST, NetworkMode.OPEN])
def test_what_can_be_read_in_two_ways_is_not_read(target: str, mode: NetworkMode) -> None:
    with pytest.raises(BadHost):
        judged(NetworkPolicy(mode=mode), f"CONNECT {target}")


@pytest.mark.parametrize(
    "target",
    [
        "https://pypi.org/", "ftp://deb.debian.org/", "deb.debian.org/", "http:deb.debian.org",
        "http://u@deb.debian.org/", "http://evil.example@deb.debian.org/", "http:///x", "http://",
        "http://deb.debian.org\\@evil.example/", "http://deb.debian.org:80:80/", "*",
        "http://deb.debian.org/#a", "http://0/", "http://0x7f.1/", "http://017700000001/",
    ],
)  # fmt: skip
def test_absolute_urls_are_parsed_as_strictly(target: str) -> None:
    with pytest.raises(BadHost):
        judged(OPEN, f"GET {target}")


def test_open_lets_names_pass_on_any_port_and_addresses_not() -> None:
    assert judged(OPEN, "CONNECT example.org:8443").allowed
    assert judged(OPEN, "GET http://example.org:8080/x").allowed
    assert judged(OPEN, "CONNECT 8.8.8.8:443").remedy == '"8.8.8.8" in network.allow of config.yaml'
    assert (
        judged(OPEN, "CONNECT 10.0.0.1:443").remedy == '"10.0.0.1" in network.allow of config.yaml'
    )
    assert not judged(OPEN, "CONNECT 169.254.1.1:443").remedy


@pytest.mark.parametrize("mode", [NetworkMode.NONE, NetworkMode.PROVIDERS])
@pytest.mark.parametrize("request_line", ["CONNECT pypi.org:443", "GET http://deb.debian.org/"])
def test_without_a_proxy_nothing_passes_even_if_it_is_listed(
    mode: NetworkMode, request_line: str
) -> None:
    verdict = judged(NetworkPolicy(mode=mode, allow=("pypi.org",)), request_line)
    assert str(mode) in verdict.reason
    assert verdict.remedy == f"network: allowlist, or open, {IF_ALLOWED}"


@pytest.mark.parametrize("host", PROVIDER_HOSTS)
def test_model_apis_are_reached_through_the_gateways_own_path(host: str) -> None:
    for policy in (ALLOWLIST, OPEN):
        assert "own path" in judged(policy, f"CONNECT {host}:443").reason
    assert judged(NetworkPolicy(allow=(host,)), f"CONNECT {host}:443").allowed


@pytest.mark.parametrize(
    ("entry", "yes", "no"),
    [
        ("example.org", "CONNECT example.org:443", "CONNECT www.example.org:443"),
        ("example.org", "CONNECT EXAMPLE.org.:443", "GET http://example.org/"),
        ("*.example.org", "CONNECT a.b.example.org:443", "CONNECT example.org:443"),
        ("*.example.org", "CONNECT a.example.org:443", "CONNECT aexample.org:443"),
        ("example.org:8443", "CONNECT example.org:8443", "CONNECT example.org:443"),
        ("example.org:80", "GET http://example.org/", "POST http://example.org/"),
        ("8.8.8.8", "CONNECT 8.8.8.8:443", "CONNECT 8.8.4.4:443"),
        ("[2606:4700:0::1111]", "CONNECT [2606:4700::1111]:443", "CONNECT [2606:4700::1]:443"),
    ],
)
def test_entries_of_the_users_own_list(entry: str, yes: str, no: str) -> None:
    policy = NetworkPolicy(allow=(entry,))
    assert judged(policy, yes).allowed
    assert not judged(policy, no).allowed


def test_a_listed_address_that_is_not_public_stays_refused() -> None:
    policy = NetworkPolicy(mode=NetworkMode.OPEN, allow=("127.0.0.1", "[::1]", "10.0.0.1"))
    for host in ("127.0.0.1", "[::1]", "10.0.0.1"):
        assert "not a public address" in judged(policy, f"CONNECT {host}:443").reason


@pytest.mark.parametrize("entry", ["*", "*.org", "https://x.org", "a/b", "x.org:0", "*.1.2.3.4"])
def test_entries_that_are_none_are_refused(entry: str) -> None:
    with pytest.raises(ValueError, match=r"allow"):
        NetworkPolicy(allow=(entry,))


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1",
        "192.0.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1",
        "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
        "168.63.129.16", "100.100.100.200",
        "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::127.0.0.1",
        "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::1",
        "2002:a00:1::", "3fff::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%2", "fec0::1",
        "ff02::1", "ff0e::1", "5f00::1", "4000::1",
    ],
)  # fmt: skip
def test_addresses_that_nobody_may_reach(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "64:ff9b::808:808", "2002:808:808::"]
)
def test_public_addresses(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


def test_one_bad_address_of_a_name_refuses_the_name() -> None:
    assert judge_addresses(Host("x.org"), ["8.8.8.8", "2606:4700::1"]).allowed
    bad = judge_addresses(Host("x.org"), ["8.8.8.8", "::ffff:10.0.0.1"])
    assert "leads to ::ffff:10.0.0.1" in bad.reason
    assert bad.remedy is None


def test_every_default_entry_is_a_host_with_a_reason() -> None:
    assert len({e.pattern for e in DEFAULT}) == len(DEFAULT)
    for entry in DEFAULT:
        pattern = HostPattern.parse(entry.pattern)
        assert pattern.host.address is None
        assert pattern.port is None
        assert entry.why
        assert default_entry(pattern.host) == entry or pattern.beneath


def test_the_documented_list_is_the_one_that_is_used() -> None:
    """`as_markdown` of default_allowlist.py is the table of docs/network.md."""
    page = Path(__file__).parents[3] / "docs" / "network.md"
    assert as_markdown() in page.read_text("utf-8")


@pytest.mark.known_escape(3)
@given(st.text(min_size=1, max_size=40))
def test_whatever_is_read_as_a_host_is_written_in_one_way(text: str) -> None:
    """A name that comes out is plain, and reading it again gives the same."""
    try:
        host = parse_host(text)
    except BadHost:
        return
    assert host.name.isascii()
    assert host.name == host.name.lower()
    assert not set(host.name) & set("@/\\#?% \0\r\n\t[]*")
    assert parse_host(f"[{host.name}]" if ":" in host.name else host.name) == host


@given(
    st.lists(
        st.one_of(
            st.integers(0, 2**32).map(str),
            st.integers(0, 2**32).map(hex),
            st.integers(0, 2**32).map(lambda n: f"0{n:o}"),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_no_spelling_of_an_address_passes_as_a_name(parts: list[str]) -> None:
    """What inet_aton(3) would read as an address is one, in the usual form, or is refused."""
    text = ".".join(parts)
    try:
        host = parse_host(text)
    except BadHost:
        return
    assert host.address is not None
    assert socket.inet_ntoa(socket.inet_aton(text)) == str(host.address)


@given(st.ip_addresses())
def test_what_is_public_is_public_to_python_too(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if is_public(address):
        assert address.is_global
        assert not address.is_multicast
