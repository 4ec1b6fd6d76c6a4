"""`make test` prints what happens when it happens, and installs or names what is missing."""

from __future__ import annotations

import ast
import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import IO

import pytest

from tests.support.shared_queue import Group
from tests.workers import grouped, slowest

ROOT = Path(__file__).parents[2]
COMPONENTS = ROOT / "tools" / "test-components.sh"
RUN = """
import sys
from pathlib import Path
from tests.support.shared_queue import Group
from tests.workers import run
count, folder, *files = sys.argv[1:]
groups = [Group(1, [file]) for file in files]
status, durations = run(groups, int(count), root=Path(folder), long=0.1)
print(sorted(durations))
sys.exit(status)
"""
FAILS = "def test_fails():\n    print('a word of its own')\n    assert 1 + 1 == 3\n"
WAITS = "def test_waits():\n    open({fifo!r}).read()\n"
PASSES = "def test_passes():\n    pass\n"


@contextlib.contextmanager
def running(
    folder: Path, count: int, contents: Mapping[str, str]
) -> Generator[tuple[subprocess.Popen[str], IO[str]]]:
    """`make test` with these files of tests and so many workers, and what it prints."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    files = {
        f"{Path(name).with_name(f'test_{Path(name).name}')}.py": content
        for name, content in contents.items()
    }
    for file, content in files.items():
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text(content)
    run = subprocess.Popen(
        [sys.executable, "-c", RUN, str(count), folder, *files],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip
    assert run.stdout is not None
    with run, run.stdout as output:
        try:
            yield run, output
        finally:
            run.terminate()


def until(lines: Iterator[str], *parts: str) -> str:
    """The lines up to the first that holds all of `parts`."""
    seen = ""
    for line in lines:
        seen += line
        if all(part in line for part in parts):
            return seen
    raise AssertionError(f"no line has {parts}:\n{seen}")


def test_a_failure_and_a_hanging_test_are_printed_while_the_suite_runs(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")
    waits = WAITS.format(fifo=str(tmp_path / "go"))
    with running(tmp_path, 2, {"left": FAILS + waits, "right": PASSES}) as (run, output):
        seen = until(output, " s in ", "test_waits")
        assert "test_left.py::test_fails (call)" in seen
        assert "assert (1 + 1) == 3" in seen
        assert "a word of its own" in seen
        assert run.poll() is None
        (tmp_path / "go").write_text("")
        rest = output.read()
        assert run.wait() == 1
    assert "1 passed, " in seen + rest
    # At the end, a line lists what failed, and each worker's last line has its count.
    listed = [line for line in rest.splitlines()[-5:] if " | FAILED " in line]
    assert len(listed) == 1
    assert "test_fails" in listed[0]
    assert any(" | 1 failed, " in line for line in rest.splitlines()[-5:])


def test_one_interrupt_ends_every_worker_in_good_order(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")
    waits = WAITS.format(fifo=str(tmp_path / "go"))
    with running(tmp_path, 2, {"left": waits, "right": waits}) as (run, output):
        seen = until(output, " s in ", "test_waits")
        other = "2 | ... " if "1 | ... " in seen else "1 | ... "
        seen += until(output, other, " s in ", "test_waits")
        run.send_signal(signal.SIGINT)
        seen += output.read()
        assert run.wait() == 128 + signal.SIGINT
    assert seen.count("KeyboardInterrupt") >= 2
    assert "no tests ran" in seen


def test_the_exit_status_is_zero_where_all_passed(tmp_path: Path) -> None:
    with running(tmp_path, 2, {"only": PASSES}) as (run, output):
        printed = output.read()
        assert run.wait() == 0, printed


def test_every_file_runs_once_and_its_time_is_kept(tmp_path: Path) -> None:
    contents = dict.fromkeys("abcdef", PASSES)
    with running(tmp_path, 2, contents) as (run, output):
        printed = output.read()
        assert run.wait() == 0, printed
    ended = re.findall(r"\d \| \[.*\] (test_\w\.py): 1 passed, [\d.]+ s\n", printed)
    assert sorted(ended) == [f"test_{name}.py" for name in contents]
    assert ast.literal_eval(printed.splitlines()[-1]) == [f"test_{name}.py" for name in contents]


def test_a_file_that_cannot_be_collected_fails_and_the_others_run(tmp_path: Path) -> None:
    with running(tmp_path, 1, {"broken": "import nothing_of_that_name\n", "good": PASSES}) as (
        run,
        output,
    ):
        printed = output.read()
        assert run.wait() == 1
    assert "nothing_of_that_name" in printed
    assert "test_good.py: 1 passed" in printed
    assert "1 | ERROR " in printed


def test_what_is_set_up_for_a_session_stays_from_file_to_file(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(
        "import pytest\nMADE = []\n\n\n"
        "@pytest.fixture(scope='session')\ndef made():\n    MADE.append(1)\n    yield len(MADE)\n"
        "    print('undone', len(MADE))\n"
    )
    uses = "def test_uses(made):\n    assert made == 1\n"
    with running(tmp_path, 1, {"a": uses, "b": uses}) as (run, output):
        printed = output.read()
        assert run.wait() == 0, printed


def test_a_folders_fixtures_serve_each_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "conftest.py").write_text(
        "import pytest\n\n\n@pytest.fixture\ndef given():\n    return 1\n"
    )
    uses = "def test_uses(given):\n    assert given == 1\n"
    with running(tmp_path, 1, {"inner/a": uses, "outer": PASSES, "inner/b": uses}) as (run, output):
        printed = output.read()
        assert run.wait() == 0, printed
    assert "3 passed" in printed


def test_files_that_share_the_attacked_host_are_one_group() -> None:
    attacks = ["tests/attacks/test_inside.py", "tests/attacks/test_terminal.py"]
    files = [*attacks, "tests/attacks/test_names.py", "tests/unit/test_workers.py"]
    groups = grouped(files, {"tests/unit/test_workers.py": 40.0})
    assert groups[0] == Group(40.0, ["tests/unit/test_workers.py"])
    assert Group(30.0, attacks) in groups
    assert Group(15.0, ["tests/attacks/test_names.py"]) in groups


def test_a_group_that_would_be_the_last_by_far_is_divided() -> None:
    seconds = {"test_inside": 140.0, "test_terminal": 100.0, "test_git": 60.0, "test_egress": 20.0}
    timed = {f"tests/attacks/{name}.py": time for name, time in seconds.items()}
    groups = grouped(timed, timed)
    assert [group.seconds for group in groups] == [140.0, 100.0, 80.0]
    assert sorted(file for group in groups for file in group.files) == sorted(timed)


def test_the_slowest_files_are_named_at_the_end() -> None:
    seconds = {"tests/test_a.py": 1.2, "tests/test_b.py": 340.4, "tests/test_c.py": 20.0}
    assert slowest(seconds, 2) == [
        "slowest |   340 s tests/test_b.py", "slowest |    20 s tests/test_c.py",
    ]  # fmt: skip


def programs(folder: Path, **scripts: str) -> Path:
    """A folder for PATH with hardly more than these shell scripts."""
    folder.mkdir()
    for name in ("bash", "cat", "mkdir", "mktemp", "chmod", "touch", "rm"):
        (folder / name).symlink_to(f"/bin/{name}")
    for name, script in scripts.items():
        (folder / name.replace("_", "-")).write_text(f"#!/bin/bash\n{script}\n")
        (folder / name.replace("_", "-")).chmod(0o755)
    return folder


def components(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/bash", COMPONENTS, *arguments],
        env={"PATH": str(path), "PYTHON": sys.executable},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip


APT = """
echo "apt-get $*" >> {log}
case "$*" in
*"download glab") touch glab_1.deb {bin}/glab && chmod +x {bin}/glab ;;
esac
[ "$1" = install ] || exit 0
for program in gh sshd bwrap tmux npm git curl docker dockerd podman runc newuidmap slirp4netns \
  cargo chromium fuse-overlayfs debootstrap initdb openssl ps systemd-analyze composer bundle; do
  touch {bin}/$program && chmod +x {bin}/$program
done
"""


def test_each_missing_component_is_named_with_its_command(tmp_path: Path) -> None:
    ran = components(programs(tmp_path / "bin", id="echo 1000"))
    assert ran.returncode == 1
    for name, package in {"bwrap": "bubblewrap", "npm": "npm", "tmux": "tmux"}.items():
        (line,) = [line for line in ran.stderr.splitlines() if line.startswith(f"  {name} ")]
        assert line.endswith(f"apt-get install {package}")
    assert "Python" not in ran.stderr.partition("'make check'")[0]


@pytest.mark.parametrize("user", ["0", "1000"])
def test_what_is_missing_is_installed_and_said(tmp_path: Path, user: str) -> None:
    log, path = tmp_path / "log", tmp_path / "bin"
    programs(
        path,
        id=f"echo {user}",
        env='while [[ $1 = *=* ]]; do export "$1"; shift; done; exec "$@"',
        sudo=f'echo sudo >> {log}; while [[ $1 = -n || $1 = *=* ]]; do shift; done; exec "$@"',
        true="exit 0",
        apt_get=APT.format(log=log, bin=path),
        apt_cache="exit 1",
        dpkg=f"echo dpkg $* >> {log}",
    )
    ran = components(path)
    assert ran.returncode == 0, ran.stderr
    assert "dpkg --install glab_1.deb" in log.read_text(), "this release of Debian lacks it"
    assert "Installing: " in ran.stdout
    assert " bubblewrap " in ran.stdout
    assert "apt-get install -y" in log.read_text()
    assert ("sudo" in log.read_text()) == (user != "0")
    assert ("sudo may ask" in ran.stdout) == (user != "0")
    # The second time nothing is missing, and nobody is asked for root.
    log.unlink()
    assert components(path).stdout == ""
    assert not log.exists()


def test_nothing_is_installed_where_only_a_check_is_asked_for(tmp_path: Path) -> None:
    path = programs(tmp_path / "bin", id="echo 0", apt_get=f"touch {tmp_path}/called")
    assert components(path, "--check").returncode == 1
    assert not (tmp_path / "called").exists()
