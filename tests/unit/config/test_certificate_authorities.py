"""The context for connections to others: read once, and again when its files have changed."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx2
import pytest

from rover_mcp.config.certificate_authorities import outgoing_context
from tests.support.certificates import server_context

NAMED = "NODE_EXTRA_CA_CERTS"


def serials(context: ssl.SSLContext) -> set[object]:
    return {authority["serialNumber"] for authority in context.get_ca_certs()}


def test_a_context_is_made_once_for_the_same_files(tmp_path: Path) -> None:
    server_context(tmp_path / "company.pem")
    environ = {NAMED: str(tmp_path / "company.pem")}
    first = outgoing_context(environ=environ)
    assert outgoing_context(environ=environ) is first
    assert first.verify_mode is ssl.CERT_REQUIRED
    assert first.check_hostname


def test_an_authority_that_is_renewed_is_trusted_at_the_next_connection(tmp_path: Path) -> None:
    """A daemon lives for months, and the organisation renews its authority meanwhile."""
    environ = {NAMED: str(tmp_path / "company.pem")}
    unnamed = serials(outgoing_context(environ=environ))
    server_context(tmp_path / "company.pem")
    first = serials(outgoing_context(environ=environ))
    (tmp_path / "company.pem").rename(tmp_path / "old.pem")
    server_context(tmp_path / "company.pem")
    second = serials(outgoing_context(environ=environ))
    assert len(first - unnamed) == len(second - unnamed) == 1
    assert first != second


def test_a_changed_environment_gets_a_context_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    usual = outgoing_context(httpx2.create_ssl_context)
    server_context(tmp_path / "only.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "only.pem"))
    assert outgoing_context(httpx2.create_ssl_context) is not usual
    monkeypatch.delenv("SSL_CERT_FILE")
    assert serials(outgoing_context(httpx2.create_ssl_context)) == serials(usual)


def test_what_a_context_offers_cannot_be_changed_while_threads_share_it() -> None:
    """A library sets a context's protocols before each connection. OpenSSL frees the old ones, which
    another thread may be copying."""
    context = outgoing_context(httpx2.create_ssl_context)
    context.set_alpn_protocols(["http/1.1"])
    with pytest.raises(ValueError, match="shared"):
        context.set_alpn_protocols(["h2", "http/1.1"])


def test_two_makers_have_a_context_each() -> None:
    assert outgoing_context() is not outgoing_context(httpx2.create_ssl_context)
