"""The daemon's log is bounded, and holds no secrets."""

from __future__ import annotations

import io
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rover_mcp.config.settings import LogSettings
from rover_mcp.daemon.daemon_log import (
    ALIKE,
    BURST,
    BoundedHandler,
    LogFile,
    LogPace,
    log_to_stream,
)
from rover_mcp.daemon.redaction import HIDDEN, MOST_KNOWN, KnownSecrets, looks_clean

KEY = "sk-ant-api03-A1b2C3d4E5f6G7h8I9j0"


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("POST https://ann:s3cret@api.example/v1/messages", "POST https://[hidden]@api.example/v1/messages"),
        ("https://ann:p/w@rd@host:8/v1", "https://[hidden]@host:8/v1"),
        ("https://s3cret@host/x", "https://[hidden]@host/x"),
        ("https://hooks.slack.com/services/T0/B0/abc", "https://hooks.slack.com/[hidden]"),
        ("https://discord.com/api/webhooks/1/x", "https://discord.com/[hidden]"),
        ("https://api.telegram.org/bot1:x/sendMessage", "https://api.telegram.org/[hidden]"),
        ("https://acme.webhook.office.com/webhookb2/x", "https://acme.webhook.office.com/[hidden]"),
        ("https://me.example/hook/a1b2c3d4e5f6a7b8c9", "https://me.example/hook/[hidden]"),
        ("https://h.example/x?key=abc&y=1", "https://h.example/x?[hidden]"),
        ("https://registry.npmjs.org/@types/node", "https://registry.npmjs.org/@types/node"),
        ("http://localhost/v1.47/containers/json", "http://localhost/v1.47/containers/json"),
        ("postgresql+psycopg://r:pw@db/rover", "postgresql+psycopg://[hidden]@db/rover"),
        (f"x-api-key: {KEY}", "x-api-key: [hidden]"),
        (f"failed with {KEY}", "failed with [key]"),
        ("password='hunter22' host=db", "password='[hidden]' host=db"),
        ('{"client_secret": "hunter22"}', '{"client_secret": "[hidden]"}'),
        ("Authorization: Bearer abc.def.ghi", "Authorization: Bearer [hidden]"),
        ("token rover-" + "0a" * 24, "token [hidden]"),
        ("bearer rover_" + "aB3-" * 10 + "xyz", "bearer [hidden]"),
        ("task 7 paused: password authentication failed", "task 7 paused: password authentication failed"),
    ],
)  # fmt: skip
def test_what_looks_like_a_secret_is_hidden(said: str, written: str) -> None:
    """Once a webhook's address and a password in base_url were written."""
    assert looks_clean(said) == written


def test_what_is_known_to_be_a_secret_is_hidden_in_any_form() -> None:
    known = KnownSecrets()
    known.add("pa/ss wörd!", None, "", "short")
    assert known.redact("a pa/ss wörd! b") == f"a {HIDDEN} b"
    assert known.redact("a=pa%2Fss%20w%C3%B6rd%21&b") == f"a={HIDDEN}&b"
    assert known.redact(f"x {'pa/ss wörd!'.encode().hex()} y") == f"x {HIDDEN} y"
    assert known.redact("x \\u0070a\\/ss w\\u00c3\\u00b6rd! y") == f"x {HIDDEN} y"
    assert known.redact("cGEvc3Mgd8O2cmQh, \udc80").startswith(f"{HIDDEN}, ")
    assert known.redact("short \udc80") == "short \udc80"
    known.add(*(f"secret number {n}" for n in range(MOST_KNOWN)))
    assert known.redact("secret number 499") == HIDDEN
    assert known.redact("pa/ss wörd!") == "pa/ss wörd!", "the oldest are forgotten"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_lines_that_differ_in_numbers_only_are_counted() -> None:
    clock = Clock()
    pace = LogPace(20, clock)
    said = [pace.let("asyncio", f"socket.accept() failed: {n}") for n in range(100_000)]
    assert said[:ALIKE] == [0] * ALIKE
    assert set(said[ALIKE:]) == {None}
    assert pace.let("asyncio", "something else") == 100_000 - ALIKE
    clock.now = 10.0
    assert pace.let("asyncio", "socket.accept() failed: 1") == 0


def test_lines_of_all_kinds_have_a_pace() -> None:
    clock = Clock()
    pace = LogPace(20, clock)
    words = [f"{chr(97 + n % 26)}{chr(97 + n // 26 % 26)}{chr(97 + n // 676)}" for n in range(9000)]
    assert sum(pace.let("x", word) is not None for word in words) == BURST
    clock.now = 5.0
    assert sum(pace.let("x", word + "!") is not None for word in words) == 100


def test_a_full_log_becomes_an_older_one_and_the_oldest_goes(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "daemon.log", 1000, 2)
    for n in range(1000):
        file.write(f"line {n:04}\n")
    file.write("x" * 5000)
    file.close()
    files = sorted(tmp_path.iterdir())
    assert [f.name for f in files] == ["daemon.log", "daemon.log.1", "daemon.log.2"]
    assert all(f.stat().st_size <= 1000 for f in files)
    assert files[0].stat().st_mode & 0o777 == 0o600
    assert files[1].read_text().endswith("line 0999\n")


def test_without_older_files_a_full_log_begins_anew(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "daemon.log", 100, 0)
    for _ in range(100):
        file.write("a line\n")
    file.close()
    assert [f.name for f in tmp_path.iterdir()] == ["daemon.log"]


def test_a_log_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    (tmp_path / "daemon.log").symlink_to(target)
    file = LogFile(tmp_path / "daemon.log", 1000, 1)
    file.write("a line\n")
    file.close()
    assert not target.exists()


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root, rover = logging.getLogger(), logging.getLogger("rover")
    before = (root.handlers[:], root.level, rover.level, logging.raiseExceptions)
    made = io.StringIO()
    yield made
    root.handlers[:], root.level, rover.level, logging.raiseExceptions = before
    root.setLevel(before[1])


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("debug", ["rover.x DEBUG", "rover.x INFO", "httpx2 INFO", "httpx2 WARNING"]),
        ("info", ["rover.x INFO", "httpx2 WARNING"]),
        ("warning", ["httpx2 WARNING"]),
        ("error", []),
    ],
)
def test_libraries_are_heard_from_warnings_on(
    stream: io.StringIO, level: str, expected: list[str]
) -> None:
    """At INFO the HTTP library writes the address of each request."""
    log_to_stream(stream, LogSettings.model_validate({"level": level}))
    for name in ("rover.x", "httpx2"):
        logging.getLogger(name).debug("d")
        logging.getLogger(name).info("i")
    logging.getLogger("httpx2").warning("w")
    lines = [line.split(" ", 2)[2].rpartition(" ")[0] for line in stream.getvalue().splitlines()]
    assert lines == expected


def test_a_traceback_is_cleaned_too() -> None:
    written: list[str] = []
    handler = BoundedHandler(written.append, LogPace(20))
    try:
        int(f"https://ann:s3cret@host/ {KEY}")
    except ValueError:
        record = logging.LogRecord(
            "x", 40, "", 0, "it failed %s", ("token=abcdefgh",), sys.exc_info()
        )
    handler.emit(record)
    handler.emit(logging.LogRecord("x", 40, "", 0, "%d", ("no number",), None))
    handler.close()
    (entry,) = written
    assert "Traceback" in entry
    assert not any(secret in entry for secret in ("s3cret", KEY, "abcdefgh"))


PROCESS = """
import logging, os, sys, threading
from pathlib import Path
from rover_mcp.daemon.daemon_log import end_log, log_to_file, write_threads
from rover_mcp.config.settings import LogSettings
log_to_file(Path(sys.argv[1]), LogSettings(file_bytes=100_000))
logging.getLogger("rover.x").info("begun")
for n in range(30_000):
    logging.getLogger("asyncio").error("no file: %s", n)
os.write(2, b"raw https://ann:s3cret@host/\\n")
os.system("echo of a program")
for n in range(3000):
    os.write(2, b"%d " % n + os.urandom(40).hex().encode().translate(bytes.maketrans(b"0123456789", b"ghijklmnop")) + b"\\n")
write_threads()
if sys.argv[2] == "exit":
    end_log(); os._exit(0)
raise RuntimeError("the end: password=hunter22")
"""


@pytest.mark.parametrize("how", ["exit", "raise"])
def test_all_that_a_process_says_is_bounded_and_cleaned(tmp_path: Path, how: str) -> None:
    """Succeeded at 700cc57: 72 MB in 20 s, with a password. What is written past the log's own
    lines, by a traceback or by a program, is bounded as well."""
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, "-c", PROCESS, str(tmp_path), how],
        env=env, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == (0 if how == "exit" else 1)
    assert done.stdout == done.stderr == ""
    files = sorted(tmp_path.iterdir())
    assert all(f.stat().st_size <= 100_000 for f in files)
    text = "".join(f.read_text("utf-8") for f in reversed(files))
    assert "rover.x INFO begun" in text
    assert "raw https://[hidden]@host/" in text
    assert "of a program\n" in text
    assert text.count("most recent call first") >= 2, "each thread is shown"
    assert re.search(r"\d{4,} lines were left out", text)
    assert "s3cret" not in text
    assert "hunter22" not in text
    assert ("RuntimeError: the end: password=[hidden]" in text) is (how == "raise")
