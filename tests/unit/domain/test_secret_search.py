"""Secrets are found in what leaves, in whatever form, and examples are not. Every token here is put
together when the test runs: none stands in this file."""

from __future__ import annotations

import base64
import random
import re
import string
import time
from pathlib import Path

import pytest

from rover_mcp.domain.secret_search import (
    KnownValues,
    line_of,
    search_content,
    values_of_file,
)
from rover_mcp.domain.token_forms import EXAMPLES, PLACEHOLDERS, TOKEN_FORMS
from tools.docs.token_table import with_table

LETTERS = string.ascii_letters + string.digits


def randomly(size: int, letters: str = LETTERS, seed: int = 1) -> str:
    return "".join(random.Random(seed).choices(letters, k=size))


GITHUB = "ghp" + "_" + randomly(36)
HEX = "0123456789abcdef"
SAMPLES = {
    "AWS access key": "AKIA" + randomly(16, string.ascii_uppercase + "234567"),
    "AWS secret key": "aws_secret_access" + "_key = " + randomly(40),
    "GitHub token": GITHUB,
    "GitLab token": "glpat" + "-" + randomly(20),
    "Slack token": "xoxb"
    + f"-{randomly(12, '123456789')}-{randomly(12, '123456789')}-{randomly(24)}",
    "Slack webhook": "hooks.slack" + ".com/services/T0AB12CD3/B0AB12CD4/" + randomly(24),
    "Stripe key": "sk_live" + "_" + randomly(24),
    "OpenAI key": "sk-proj" + "-" + randomly(60),
    "Anthropic key": "sk-ant" + "-api03-" + randomly(93) + "AA",
    "OpenRouter key": "sk-or" + "-v1-" + randomly(64, HEX),
    "Groq key": "gsk" + "_" + randomly(52),
    "xAI key": "xai" + "-" + randomly(80),
    "Google API key": "AI" + "za" + randomly(35),
    "Google OAuth secret": "GOCSPX" + "-" + randomly(28),
    "npm token": "npm" + "_" + randomly(36),
    "PyPI token": "pypi" + "-AgEIcHlwaS5vcmc" + randomly(80),
    "RubyGems key": "rubygems" + "_" + randomly(48, HEX),
    "Docker token": "dckr" + "_pat_" + randomly(27),
    "Hugging Face token": "hf" + "_" + randomly(34, string.ascii_letters),
    "DigitalOcean token": "dop" + "_v1_" + randomly(64, HEX),
    "SendGrid key": "SG" + "." + randomly(22) + "." + randomly(43),
    "Shopify token": "shpat" + "_" + randomly(32, HEX),
    "Vault token": "hvs" + "." + randomly(24),
    "Grafana token": "glsa" + "_" + randomly(32) + "_" + randomly(8, HEX),
    "Atlassian token": "ATATT" + "3" + randomly(60),
    "Linear key": "lin" + "_api_" + randomly(40),
    "Telegram bot token": "123456789" + ":AA" + randomly(33),
    "Azure storage key": "Account" + "Key=" + randomly(86) + "==",
    "age key": "AGE-SECRET" + "-KEY-1" + randomly(58, string.ascii_uppercase),
    "private key": "-----BEGIN RSA PRIVATE" + " KEY-----\n" + randomly(64) + "\n",
    "JSON web token": "ey" + "JhbGciOiJIUzI1NiJ9" + ".ey" + "J" + randomly(40) + "." + randomly(43),
}


def kinds(text: str | bytes, known: KnownValues | None = None) -> set[str]:
    data = text.encode() if isinstance(text, str) else text
    return {hit.kind for hit in search_content(data, known or KnownValues({}))}


def test_there_is_a_sample_of_every_form() -> None:
    assert SAMPLES.keys() == {form.kind for form in TOKEN_FORMS}


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_token_is_found_as_it_stands_and_encoded(kind: str) -> None:
    """N12"""
    token = SAMPLES[kind].encode()
    assert kind in kinds(b"x = '" + token + b"'\n")
    for before in range(3):
        encoded = base64.b64encode(b"_" * before + token + b"!")
        assert kind in kinds(b"data: " + encoded), before
        assert kind in kinds(b"word" + base64.urlsafe_b64encode(b"_" * before + token))
    assert kind in kinds(token.hex())
    assert kind in kinds("f" + token.hex().upper())
    assert kind in kinds("".join(f"\\x{byte:02x}" for byte in token))
    assert kind in kinds(", ".join(f"0x{byte:02x}" for byte in token))


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_token_is_found_where_it_is_split(kind: str) -> None:
    """N12"""
    token = SAMPLES[kind]
    pieces = [token[:5], token[5:17], token[17:]]
    assert kind in kinds(" + ".join(f'"{piece}"' for piece in pieces))
    assert kind in kinds("(\n    " + "\n    ".join(f"'{piece}'" for piece in pieces) + "\n)")
    assert kind in kinds("[" + ",\n ".join(f'"{piece}"' for piece in pieces) + "]")
    assert kind in kinds("\n".join(pieces))
    assert kind in kinds("\r\n  # ".join(pieces))
    wrapped = base64.encodebytes(b"some text before " + token.encode()).decode()
    assert kind in kinds(f"key: |\n  {wrapped.replace(chr(10), chr(10) + '  ')}")


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_token_is_found_in_binary_content(kind: str) -> None:
    """N12"""
    token = SAMPLES[kind]
    assert kind in kinds(b"\x00\x01\xff" + token.encode() + b"\x00\x00")
    assert kind in kinds(token.encode("utf-16"))


def test_the_line_of_a_split_token_is_where_it_begins() -> None:
    data = f'a = 1\nb = "x" + "y"\nkey = ("{GITHUB[:9]}"\n    "{GITHUB[9:]}")\n'.encode()
    (hit,) = search_content(data)
    assert (hit.form, line_of(data, hit.position)) == ("split", 3)


def test_the_line_of_an_encoded_token_is_named() -> None:
    encoded = base64.b64encode(GITHUB.encode()).decode()
    data = f"one\n{'A' * 80}\n{encoded}\n{'B' * 80}\n".encode()
    (hit,) = search_content(data)
    assert (hit.form, line_of(data, hit.position)) == ("base64", 3)


def test_a_match_does_not_hold_the_secret() -> None:
    """N12"""
    for hit in search_content(GITHUB.encode()):
        assert GITHUB[8:] not in repr(hit)


@pytest.mark.parametrize(
    "text",
    [
        *(example for example, _ in EXAMPLES),
        "ghp_" + "x" * 36,
        "glpat-" + "XXXXXXXXXXXXXXXXXXXX",
        "sk-ant-" + "api03-" + "your_key_here_" + "a" * 80,
        "AKIA" + "ABCDEFGHEXAMPLE2",
        "-----BEGIN PRIVATE KEY-----",
        'if "-----BEGIN RSA PRIVATE KEY-----" in text:\n    return load(text)\n',
        "-----BEGIN CERTIFICATE-----\n" + "QUJD" * 30,
        "npm_config_registry=https://registry.npmjs.org/",
        "task-manager-for-everybody-and-their-neighbours-in-the-village",
        "SG.width", "hf_hub_download", "xai-sdk", "whsec_", "ghs_url",
        "integrity sha512-" + base64.b64encode(random.Random(3).randbytes(64)).decode(),
        random.Random(4).randbytes(32).hex(),
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9",
    ],
)  # fmt: skip
def test_examples_and_ordinary_text_are_no_secrets(text: str) -> None:
    assert kinds(text) == set()


def test_a_real_token_is_not_excused_by_what_stands_around_it() -> None:
    """N12"""
    assert kinds(f"example {GITHUB} # EXAMPLE placeholder") == {"GitHub token"}
    assert kinds(GITHUB + "EXAMPLE") == {"GitHub token"}


def test_a_known_value_is_found_in_every_form() -> None:
    """N12"""
    value = b"hunter2-correct-horse"
    known = KnownValues({"the key of a provider": [value]})
    half = len(value) // 2
    for text in (
        value, value[::-1], value.hex().encode(), base64.b64encode(b"ab" + value + b"c"),
        b'"' + value[:half] + b'" + "' + value[half:] + b'"', value[:half] + b"\n" + value[half:],
        value.decode().encode("utf-16-le"), value.replace(b"-", b"%2D"),
    ):  # fmt: skip
        assert kinds(text, known) == {"the key of a provider"}, text
    assert kinds(b"hunter2", known) == set()


def test_a_copied_file_gives_the_values_that_are_secret() -> None:
    content = (
        b"# comment: abcdefghijklmnopqrstuvwxyz0123\nDEBUG=true\nPORT=8080\nSHORT_TOKEN=abc\n"
        b"DB_PASSWORD='pa55 word-1'\nexport API_KEY=\"k3y-abcdef\"\nHOME_URL=https://example.com/a\n"
        b"DATABASE_URL=postgres://me:s3cr3t@db/app\nNAME=the name of something long\n"
        b'"clientSecret": "c5f1b2d4",\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n'
    )
    assert set(values_of_file(content)) == {
        b"pa55 word-1", b"k3y-abcdef", b"postgres://me:s3cr3t@db/app", b"c5f1b2d4",
        b"MIIEvQIBADANBgkqhkiG9w0BAQEFAASC",
    }  # fmt: skip


@pytest.mark.parametrize(
    "piece",
    [
        b'"', b"'\n", b" ", b"\n", b"\\x4", b"0x41, ", b"eyJ", b".eyJ", b"-----BEGIN ", b"A", b"ghp_",
        b"glpat-", b"\0", b"f", b'" + ', b"SG.", b"a.b", b"-----BEGIN A PRIVATE KEY-----",
    ],
)  # fmt: skip
def test_no_content_takes_more_than_linear_time(piece: bytes) -> None:
    """Twenty times the content may take a hundred times as long at most, where a square would take
    four hundred times."""
    known = KnownValues({"k": [b"0123456789abcdef"]})
    small, large = (piece * (size // len(piece)) for size in (10_000, 200_000))
    search_content(small, known)

    def seconds(data: bytes) -> float:
        begin = time.process_time()
        search_content(data, known)
        return time.process_time() - begin

    assert seconds(large) < 100 * max(seconds(small), 0.002)


def test_every_form_names_its_source() -> None:
    for form in TOKEN_FORMS:
        assert re.match(r"https://[\w.-]+/", form.source), form.kind


def test_the_page_has_the_table_and_every_placeholder() -> None:
    """Write it again with: make docs-from-code"""
    page = (Path(__file__).parents[3] / "docs" / "secrets.md").read_text("utf-8")
    assert page == with_table(page)
    assert all(f"`{word.decode()}`" in page for word in PLACEHOLDERS)
