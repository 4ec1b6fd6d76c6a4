"""What an account is called for people. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

_DIGEST = re.compile(r"(?P<provider>.+)-(?P<digest>[0-9a-f]{8})")
_LOG_IN = re.compile(r"(?P<provider>[^-]+)-(?P<program>.+)-log-in")
_OWN = re.compile(r"(?P<provider>.+)-own")


def account_name(label: str, origins: Mapping[str, str] | None = None) -> str:
    """The name that its user gave an account, as PROVIDER:NAME; else its provider and where its
    key or login comes from. `origins` are those by label. The end of a digest is added where two
    accounts would have the same name, or nothing else is known."""
    if ":" in label:
        return label
    digest = _DIGEST.fullmatch(label)
    if origin := (origins or {}).get(label):
        shared = digest is not None and list((origins or {}).values()).count(origin) > 1
        # The last four characters are of a digest, never of the key.
        return f"{origin} (…{label[-4:]})" if shared else origin
    if log_in := _LOG_IN.fullmatch(label):
        return f"{log_in['provider']}, login of {log_in['program']}"
    if own := _OWN.fullmatch(label):
        return f"{own['provider']}, the agent's own login"
    return f"{digest['provider']}, account …{label[-4:]}" if digest else label
