"""O4: what may be reached, how much is read, and where a header goes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from rover_mcp.context.fetch import Fetched, Fetcher, FetchFailed
from rover_mcp.gateway.dialer import InternetDialer
from rover_mcp.gateway.internet import UpstreamProxy
from tests.support.web_server import Reply, as_html

from .conftest import ContextHarness

PAGE = "https://pages.example.org/start"


def get(
    site: ContextHarness, address: str = PAGE, headers: Mapping[str, str] | None = None
) -> Fetched:
    fetcher = Fetcher(InternetDialer(site.internet, lambda _: None), site.server.trusted)
    return asyncio.run(fetcher.get(address, 100_000, headers))


def redirect(to: str) -> Reply:
    return Reply(302, b"", {"location": to})


def test_a_page_is_fetched_over_tls_by_its_name(site: ContextHarness) -> None:
    site.server.replies["/start"] = as_html("<p>hello")
    fetched = get(site)
    assert (fetched.status, fetched.body) == (200, b"<p>hello")
    assert site.server.requests[0].host == "pages.example.org"


@pytest.mark.known_escape(20)
def test_redirects_are_followed_and_headers_stay_with_their_host(site: ContextHarness) -> None:
    """O6."""
    site.server.replies["/start"] = redirect("/next")
    site.server.replies["/next"] = redirect("https://git.example.org/end")
    site.server.replies["/end"] = as_html("the end")
    fetched = get(site, headers={"authorization": "Bearer secret"})
    assert fetched.address == "https://git.example.org/end"
    assert [asked.headers.get("authorization") for asked in site.server.requests] == [
        "Bearer secret",
        "Bearer secret",
        None,
    ]


@pytest.mark.parametrize(
    "address", ["10.0.0.7", "127.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.7"]
)
def test_a_name_that_leads_to_a_private_address_is_refused(
    site: ContextHarness, address: str
) -> None:
    """O4."""
    site.internet.names["pages.example.org"] = ["93.184.216.34", address]
    with pytest.raises(FetchFailed, match="not a public address"):
        get(site)
    assert not site.internet.connected


@pytest.mark.parametrize(
    "target",
    [
        "https://127.0.0.1/", "https://[::1]/", "https://localhost/", "https://169.254.169.254/x",
        "http://pages.example.org/", "https://user@pages.example.org/", "file:///etc/passwd",
        "https://0x7f.1/", "https://[fe80::1%25eth0]/",
    ],
)  # fmt: skip
def test_a_redirect_to_anything_else_is_refused(site: ContextHarness, target: str) -> None:
    site.internet.names["localhost"] = ["127.0.0.1"]
    site.server.replies["/start"] = redirect(target)
    with pytest.raises(FetchFailed):
        get(site)
    assert len(site.internet.connected) == 1


def test_a_name_that_resolves_anew_to_a_private_address_is_refused(site: ContextHarness) -> None:
    """DNS rebinding: each connection is made to an address that was judged for it."""

    def rebind(_: object) -> Reply:
        site.internet.names["pages.example.org"] = ["192.168.1.1"]
        return redirect("/next")

    site.server.replies["/start"] = rebind
    with pytest.raises(FetchFailed, match="not a public address"):
        get(site)


@pytest.mark.parametrize("address", ["10.0.0.7", "127.0.0.1", "169.254.169.254"])
def test_a_private_address_is_refused_behind_the_users_proxy_too(
    site: ContextHarness, address: str
) -> None:
    """O4: the proxy is not even asked."""
    proxy = UpstreamProxy("proxy.invalid", 3128)
    fetcher = Fetcher(InternetDialer(site.internet, lambda _: proxy), site.server.trusted)
    with pytest.raises(FetchFailed, match="not a public address"):
        asyncio.run(fetcher.get(f"https://{address}/", 1000))


def test_redirects_without_end_are_refused(site: ContextHarness) -> None:
    site.server.replies["/start"] = redirect("/start")
    with pytest.raises(FetchFailed, match="more than 5 redirects"):
        get(site)


def test_a_page_that_never_ends_is_refused(site: ContextHarness) -> None:
    site.server.replies["/start"] = Reply(200, b"x" * 1000, endless=True)
    with pytest.raises(FetchFailed, match="larger than 100,000 bytes"):
        get(site)


def test_a_compressed_answer_is_refused(site: ContextHarness) -> None:
    site.server.replies["/start"] = Reply(200, b"x", {"content-encoding": "gzip"})
    with pytest.raises(FetchFailed, match="compressed"):
        get(site)


def test_a_server_with_another_certificate_is_refused(site: ContextHarness) -> None:
    site.internet.host("other.example.org", 443, site.server.port)
    with pytest.raises(FetchFailed, match="certificate"):
        get(site, "https://other.example.org/start")


def test_a_name_that_does_not_exist_is_named(site: ContextHarness) -> None:
    with pytest.raises(FetchFailed, match=r"^Name or service not known"):
        get(site, "https://nowhere.example.org/")
