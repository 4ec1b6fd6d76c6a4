"""Secrets are taken out of a text that is passed on, however they are written."""

from __future__ import annotations

from base64 import b64encode

import pytest

from rover_mcp.domain.secret_hiding import HIDDEN, hide_secrets
from rover_mcp.domain.secret_search import GATEWAY_KEY, KnownValues

KEY = "sesame-Open-7391-xyzzy"
KNOWN = KnownValues({GATEWAY_KEY: [KEY.encode()]})


@pytest.mark.parametrize(
    "form",
    [
        KEY,
        KEY[::-1],
        KEY.encode().hex(),
        b64encode(b"user:" + KEY.encode()).decode(),
        KEY.replace("-", "%2D"),
    ],
)
def test_a_known_value_is_hidden_in_every_form(form: str) -> None:
    text = f"before {form} after"
    shown = hide_secrets(text, KNOWN)
    assert HIDDEN in shown
    assert KEY not in shown
    assert shown.startswith("before ")
    assert shown.endswith(" after")


def test_a_value_in_pieces_takes_its_lines_and_leaves_their_number() -> None:
    text = f'a\nkey = ("{KEY[:10]}"\n       "{KEY[10:]}")\nb\n'
    shown = hide_secrets(text, KNOWN)
    assert KEY[:10] not in shown
    assert KEY[10:] not in shown
    assert shown.splitlines()[0] == "a"
    assert shown.splitlines()[-1] == "b"
    assert shown.count("\n") == text.count("\n")


def test_a_token_of_a_known_form_is_hidden_with_all_that_belongs_to_it() -> None:
    token = "ghp_" + "aB3dE5fG7hI9jK1lM2nO4pQ6rS8tU0vW2xY4"
    shown = hide_secrets(f"GH={token}EXTRA done", KnownValues({}))
    assert shown == f"GH={HIDDEN} done"


def test_ordinary_text_is_left_as_it_is() -> None:
    text = "https://example.org/a?token=short \udce9 \u202e 9b" * 3
    assert hide_secrets(text, KNOWN) == text
