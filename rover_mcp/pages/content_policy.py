"""The content security policy of a page: nothing is loaded, and nothing runs but what the page
itself contains.

The hashes are those of https://www.w3.org/TR/CSP3/#grammardef-hash-source.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Sequence


def content_policy(
    styles: Sequence[str], scripts: Sequence[str] = (), *, connects: bool = False
) -> str:
    """The policy of a page with these inline styles and scripts. `connects`: its scripts may call
    the server that the page came from."""
    directives = {
        "default-src": "'none'",
        "style-src": _hashes(styles),
        "script-src": _hashes(scripts),
        "connect-src": "'self'" if connects else "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in directives.items())


def _hashes(texts: Sequence[str]) -> str:
    digests = (hashlib.sha256(text.encode()).digest() for text in texts)
    return " ".join(f"'sha256-{b64encode(digest).decode()}'" for digest in digests) or "'none'"
