"""Certificate authorities that the user's environment names, in addition to those of the machine.

An organisation that reads its TLS traffic signs it with an authority of its own. Programs learn of
it from different variables; whichever is set counts for all that Rover connects to or starts.
"""

from __future__ import annotations

import logging
import os
import re
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

log = logging.getLogger("rover.trust")

VARIABLES: Final = (
    "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
)  # fmt: skip
HINT: Final = (
    "where your organisation reads TLS traffic, set NODE_EXTRA_CA_CERTS to the file with its "
    "certificate (PEM) in the environment from which Rover's daemon starts"
)
_PLACES: Final = (
    "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem",
)  # fmt: skip
_OF_OPENSSL: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_PROTOCOLS: Final = ("http/1.1",)
_contexts: dict[object, tuple[object, ssl.SSLContext]] = {}
"""By what made them, with the version of the files that they are of."""
MAX_FILE_BYTES: Final = 4_000_000
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----[\s\w+/=]+?-----END CERTIFICATE-----")


def authorities(environ: Mapping[str, str]) -> list[str]:
    """The certificates in the named files, each once, in PEM, without anything else in the
    files."""
    return list(
        dict.fromkeys(
            certificate for path in _files(environ) for certificate in _certificates(path)
        )
    )


def trusting(context: ssl.SSLContext, environ: Mapping[str, str] = os.environ) -> ssl.SSLContext:
    """The `context` for connections to others, which also trusts the authorities that the
    environment names."""
    for certificate in authorities(environ):
        try:
            context.load_verify_locations(cadata=certificate)
        except ssl.SSLError as error:
            log.warning("a certificate that %s name cannot be used: %s", VARIABLES, error)
    return context


def outgoing_context(
    make: Callable[[], ssl.SSLContext] = ssl.create_default_context,
    environ: Mapping[str, str] = os.environ,
) -> ssl.SSLContext:
    """What `make` and `trusting` give, for HTTP/1.1: the same context again until one of the files
    changes, since reading a machine's authorities takes 25 ms each time. Do not change it."""
    files = (*_files(environ), Path(_default_bundle()))
    # What is in a folder of authorities OpenSSL looks up anew for each connection.
    version = (
        tuple(environ.get(name) for name in _OF_OPENSSL),
        tuple((path, _version(path)) for path in files if path.is_file()),
    )
    kept = _contexts.get(make)
    if kept is None or kept[0] != version:
        kept = _contexts[make] = (version, _shareable(trusting(make(), environ)))
    return kept[1]


def _shareable(context: ssl.SSLContext) -> ssl.SSLContext:
    """The context with its protocols set for good: HTTP libraries set them before each connection,
    which OpenSSL does not allow while another thread begins one."""
    context.set_alpn_protocols(list(_PROTOCOLS))

    def check(alpn_protocols: Iterable[str]) -> None:
        if tuple(alpn_protocols) != _PROTOCOLS:
            raise ValueError(f"this context is shared, and only for {_PROTOCOLS}")

    context.set_alpn_protocols = check
    return context


def bundle(environ: Mapping[str, str] = os.environ) -> str:
    """The authorities that a sandbox has to trust, in PEM: all that this machine trusts; "" where
    the environment names none, so that the sandbox's own authorities count."""
    named = authorities(environ)
    if not named:
        return ""
    usual = _certificates(Path(_default_bundle()))
    return "\n".join([*dict.fromkeys([*usual, *named]), ""])


def for_node(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment for a Node program, which reads only one of these variables."""
    files = [str(path) for path in _files(environ)]
    variables = {VARIABLES[0]: files[0]} if files and not environ.get(VARIABLES[0]) else {}
    return {**environ, **variables}


def _files(environ: Mapping[str, str]) -> list[Path]:
    named = [Path(environ[name]) for name in VARIABLES if environ.get(name)]
    return [path for path in dict.fromkeys(named) if path.is_file()]


def _certificates(path: Path) -> Sequence[str]:
    try:
        return _read(path, _version(path))
    except OSError as error:
        log.warning("the certificates in %s cannot be read: %s", path, error.strerror)
        return ()


def _version(path: Path) -> tuple[int, ...]:
    facts = path.stat()
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


# Every attempt needs them, and a machine's 150 took a tenth of what its start costs the daemon.
@lru_cache(maxsize=8)
def _read(path: Path, _version: tuple[int, ...]) -> Sequence[str]:
    with path.open("rb") as file:
        text = file.read(MAX_FILE_BYTES).decode("ascii", "replace")
    return tuple(_CERTIFICATE.findall(text))


def _default_bundle() -> str:
    """The file of the authorities that this machine trusts, whatever the environment names."""
    places = (ssl.get_default_verify_paths().openssl_cafile, *_PLACES)
    if bundle := next((place for place in places if Path(place).is_file()), None):
        return bundle
    import certifi  # not needed where the system has its own

    return certifi.where()
