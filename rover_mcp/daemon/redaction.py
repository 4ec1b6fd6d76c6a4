"""Takes secrets out of lines that go into a log: those that are known, and what looks like one.

A credential is known from the moment that it is read. Any other secret is recognised by its
form (keys of providers, `password=...`) or by its place in an address: the user's part, the query,
and the path of a webhook, which is as good as a password.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from agent_runner.classify.redact import masked
from rover_mcp.domain.secret_forms import SecretForms, Span

HIDDEN: Final = "[hidden]"
SHORTEST: Final = 8
"""Characters. A shorter secret would also be found in ordinary text."""
MOST_KNOWN: Final = 500

_ADDRESS = re.compile(r"\b([a-z][a-z0-9+.-]{1,20})://([^\s'\"<>]{1,2000})", re.IGNORECASE)
_USER = re.compile(r"[^\s/@:]{0,200}(?::.{0,500})?@")
_NAMED = re.compile(
    r"\b((?:[\w-]{0,40}(?:password|passwd|secret|api[_-]?key|credential|token)|authorization)"
    r"[\"']?\s?[:=]\s?[\"']?(?:bearer |basic )?)([^\s\"',;&]{6,500})",
    re.IGNORECASE,
)
# Tokens that Rover makes: of the gateway and of HTTP users.
_OURS = re.compile(r"\brover[-_][\w-]{32,64}")
# https://api.slack.com/messaging/webhooks, https://discord.com/developers/docs/resources/webhook,
# https://core.telegram.org/bots/api: hosts where the path is the secret.
_WEBHOOKS = re.compile(
    r"(?:^|\.)(?:hooks\.slack\.com|discord(?:app)?\.com|api\.telegram\.org|webhook\.office\.com"
    r"|chat\.googleapis\.com|hooks\.zapier\.com|hook\.[\w.]*make\.com|webhook\.site|ntfy\.sh"
    r"|open\.feishu\.cn|oapi\.dingtalk\.com|maker\.ifttt\.com)$"
)
# Digits and letters mixed, 16 or more: a token in a path. A word or a number alone is neither.
_RANDOM = re.compile(r"(?=[\w.~:-]*\d)(?=[\w.~:-]*[A-Za-z])[\w.~:-]{16,}")


class KnownSecrets:
    """Secrets that were read, the newest ones. Safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: OrderedDict[bytes, None] = OrderedDict()
        self._forms = SecretForms()

    def add(self, *secrets: str | None) -> None:
        """Hide these from now on, as they are and however they are encoded."""
        with self._lock:
            before = set(self._values)
            for secret in secrets:
                if secret and len(secret) >= SHORTEST:
                    self._values[secret.encode("utf-8", "surrogatepass")] = None
                    self._values.move_to_end(secret.encode("utf-8", "surrogatepass"))
            while len(self._values) > MOST_KNOWN:
                self._values.popitem(last=False)
            if before != set(self._values):
                self._forms = SecretForms(*self._values)

    def values(self) -> list[bytes]:
        """What is known now. For searching alone, never to be shown."""
        with self._lock:
            return list(self._values)

    def redact(self, text: str) -> str:
        """`text` without known secrets, and without what looks like one."""
        data = text.encode("utf-8", "surrogatepass")
        with self._lock:
            forms = self._forms
        if spans := forms.spans(data, 0, len(data)):
            text = _hidden(data, spans).decode("utf-8", "replace")
        return looks_clean(text)


def _hidden(data: bytes, spans: Iterable[Span]) -> bytes:
    pieces: list[bytes] = []
    last = 0
    for begin, end in sorted(spans):
        if begin >= last:
            pieces += (data[last:begin], HIDDEN.encode())
        last = max(last, end)
    return b"".join([*pieces, data[last:]])


def looks_clean(text: str) -> str:
    """`text` without what has the form or the place of a secret."""
    text = _ADDRESS.sub(_address, text)
    text = _NAMED.sub(rf"\1{HIDDEN}", text)
    return masked(_OURS.sub(HIDDEN, text))


def _address(match: re.Match[str]) -> str:
    scheme, rest = match[1], match[2]
    if user := _USER.match(rest):
        rest = f"{HIDDEN}@{rest[user.end() :]}"
    place, query, _ = rest.partition("?")
    host, slash, path = place.partition("/")
    name = host.rpartition("@")[2].partition(":")[0].lower()
    if path and _WEBHOOKS.search(name):
        path = HIDDEN
    parts = [HIDDEN if _RANDOM.fullmatch(part) else part for part in path.split("/")]
    return f"{scheme}://{host}{slash}{'/'.join(parts)}{'?' + HIDDEN if query else ''}"


SECRETS: Final = KnownSecrets()
"""One for the process, as its log is."""
