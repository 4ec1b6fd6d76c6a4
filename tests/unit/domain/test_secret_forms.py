"""The forms in which a secret may be repeated."""

from __future__ import annotations

import base64
import re
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rover_mcp.domain.secret_forms import SecretForms
from tests.unit.gateway.test_credential_redactor import redacted

SECRET = "sk-ant/api+03=the-real-one"
KEY = SECRET.encode()
ESCAPES = ("%{:02x}", "%{:02X}", "%25{:02x}", "\\u{:04x}", "\\\\u{:04X}", "&#{};", "&#x{:x};")
PLAIN = {
    "itself": KEY,
    "backwards": KEY[::-1],
    "hex": KEY.hex().encode(),
    "HEX": KEY.hex().upper().encode(),
    "base64": base64.b64encode(KEY),
    "base64 behind one": base64.b64encode(b">" + KEY),
    "base64 behind two": base64.b64encode(b"?>" + KEY),
    "URL-safe base64": base64.urlsafe_b64encode(KEY + b"?>?"),
    "an address": quote_from_bytes(KEY, safe="").encode(),
}


@pytest.mark.known_escape(5)
@pytest.mark.parametrize("name", PLAIN)
def test_every_form_is_taken_out_wherever_it_is_cut(name: str) -> None:
    """At 700cc57 only the key as it is was taken out."""
    form = PLAIN[name]
    for cut in range(1, len(form)):
        got = redacted([b'{"a": "', form[:cut], form[cut:], b'"}'], SECRET)
        assert len(got) == len(form) + 9
        assert len(got.replace(b"*", b"")) <= 9 + 6, (cut, got)


@pytest.mark.known_escape(5)
@given(
    # A digit of an address's own escape that is escaped again is not recognised.
    form=st.sampled_from(sorted(set(PLAIN) - {"an address"})),
    ways=st.lists(st.sampled_from(["{:c}", *ESCAPES]), min_size=80, max_size=80),
    around=st.tuples(st.text('a \\%&\n"u0;', max_size=6), st.text('a \\%&\n"', max_size=6)),
    size=st.integers(1, 200),
)
def test_its_bytes_may_be_escaped_one_by_one(
    form: str, ways: list[str], around: tuple[str, str], size: int
) -> None:
    """Any of them, in any way, cut anywhere; what stands around it stays."""
    text = "".join(way.format(byte) for way, byte in zip(ways, PLAIN[form], strict=False)).encode()
    # An escape that begins before the secret would be another text: "%a" before a digit, too.
    before, after = re.sub(r"[\\%&][au0]*$", "", around[0]), around[1].encode()
    before = before.rstrip("\\%&u0;").encode()
    whole = before + text + after
    got = redacted([whole[at : at + size] for at in range(0, len(whole), size)], SECRET)
    assert len(got) == len(whole)
    assert got.startswith(before)
    left = got[len(before) :].replace(b"*", b"")
    assert len(left) <= len(after) + 6 * 13, got


@given(st.binary(max_size=300), st.integers(1, 50))
def test_other_text_stays_as_it_is(data: bytes, size: int) -> None:
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    assert redacted(pieces, SECRET) == data


@pytest.mark.parametrize(
    "text", [b'data: {"a": "100%"}\n\n', b"data: \\u00e9 \\n&amp; s\n\n", b"."]
)
def test_the_end_of_an_event_is_never_held_back(text: bytes) -> None:
    assert SecretForms(KEY).begun(text, 0, len(text)).count == 0


def test_what_is_longer_than_the_room_before_a_part_is_held_whole() -> None:
    """A long token, each byte escaped, in parts of every size."""
    secret = "k-" + "0123456789" * 300
    text = "".join(f"\\u{ord(char):04x}" for char in secret).encode()
    for size in (5_000, 9_000, 17_000):
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        assert redacted([b"<", *pieces, b">"], secret) == b"<" + b"*" * len(text) + b">"
