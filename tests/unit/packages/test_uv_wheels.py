"""Which wheels a lock file of uv names, and to which of them a pointer leads."""

from __future__ import annotations

import pytest

from rover_mcp.packages import uv

DIGEST = "ab" * 32
NAME = "tiny-1.0-py3-none-any.whl"
URL = f"https://files.pythonhosted.org/packages/{'0' * 2}/{'1' * 2}/{'2' * 60}/{NAME}"
PYPI = 'source = { registry = "https://pypi.org/simple" }'
WHEEL = uv.Wheel("tiny", URL, DIGEST, 17)


def lock(source: str = PYPI, url: str = URL, name: str = "tiny") -> bytes:
    wheel = f'{{ url = "{url}", hash = "sha256:{DIGEST}", size = 17 }}'
    return f'version = 1\n\n[[package]]\nname = "{name}"\n{source}\nwheels = [\n  {wheel},\n]\n'.encode()


def test_the_wheels_of_pypi_are_demanded_each_once() -> None:
    assert uv.demanded(lock(), lock()) == (WHEEL,)
    assert WHEEL.name == NAME


@pytest.mark.parametrize(
    "text",
    [
        lock(source='source = { registry = "https://example.com/simple" }'),
        lock(source='source = { git = "https://example.com/a" }'),
        lock(url=URL.replace("files.pythonhosted.org", "example.com")),
        lock(url=URL.replace("https", "http", 1)),
        lock(name="../up"),
        b"\xff" * 100,
        b"",
    ],
)
def test_nothing_else_is_demanded(text: bytes) -> None:
    assert uv.demanded(text) == ()


def text(value: str) -> bytes:
    """A text in MessagePack."""
    data = value.encode()
    return (bytes([0xA0 | len(data)]) if len(data) < 32 else bytes([0xD9, len(data)])) + data


def pointer(
    archive: str = "0123456789", digest: str = DIGEST, form: bytes = b"\x92", fields: int = 2
) -> bytes:
    """A pointer as uv writes it: newer versions have more than two fields."""
    head = bytes([0x90 | fields]) + text(archive) + b"\x91" + form + text("Sha256") + text(digest)
    return head + (text(NAME) + b"\x00" if fields > 2 else b"") + b"rest"


@pytest.mark.parametrize("form", [b"\x81", b"\x92"])
@pytest.mark.parametrize("fields", [2, 3, 5])
def test_a_pointer_leads_to_the_wheel_that_it_names(form: bytes, fields: int) -> None:
    assert uv.archive_of(pointer(form=form, fields=fields), WHEEL) == "0123456789"
    long = "x" * 40
    assert uv.archive_of(pointer(long, form=form, fields=fields), WHEEL) == long


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00",
        pointer(fields=6),
        pointer(digest="cd" * 32),
        pointer("../../up"),
        pointer("short"),
        pointer()[:10],
        pointer(form=b"\x93"),
    ],
)
def test_any_other_content_leads_nowhere(content: bytes) -> None:
    assert uv.archive_of(content, WHEEL) is None
