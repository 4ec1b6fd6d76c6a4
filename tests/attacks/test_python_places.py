"""Wherever the daemon's Python lives, a sandbox sees nothing of the user's beside it (U4)."""

from __future__ import annotations

import base64
import secrets
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rover_mcp.sandbox.attempt_folder import remove_tree
from tests.attacks.stage import Canaries
from tests.e2e.conftest import end_daemon
from tests.support.frames import LauncherClient, ToolError
from tests.support.pythons import VERSION, make_environment, make_python
from tests.support.repos import make_repository
from tests.support.scripts import script

_LOOK = """
for f in {files}; do cat "$f"; done 2>/dev/null
for s in {sockets}; do [ -S "$s" ] && echo "PWNED $s"; done
while read -r _ _ _ _ place _; do
  case "$place" in
    /|/usr|/usr/*|/lib*|/bin|/sbin|/etc/*|/proc*|/sys*|/dev*) ;;
    *) grep -rsa canary- "$place"; find "$place" -type s -printf 'socket %p\\n' 2>/dev/null;;
  esac
done < /proc/self/mountinfo
port=${{HTTP_PROXY##*:}}
(exec 3<>/dev/tcp/127.0.0.1/${{port%/}}) && echo forwarded
ls -A {home}
true
"""


@dataclass
class UserHome:
    """A user with a home, keys and a data folder in it; `shared` is outside of it."""

    root: Path
    shared: Path
    canaries: Canaries = field(default_factory=Canaries)

    @property
    def home(self) -> Path:
        return self.root / "home" / "alice"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def data(self) -> Path:
        return self.home / ".local/share/rover"

    def secrets(self) -> dict[str, Path]:
        return {
            "keyring": self.home / ".local/share/keyrings/login.keyring",
            "ssh": self.home / ".ssh/id_ed25519",
            "settings": self.data / "config.yaml",
            "other-task": self.data / "tasks" / ("f" * 32) / "work/secret.txt",
            "runtime": self.run / "secret",
        }

    def move_in(self) -> None:
        for place, path in self.secrets().items():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.write_text(f"# {self.canaries.new(place)}\n")
        self.bus = socket.socket(socket.AF_UNIX)
        self.bus.bind(str(self.run / "bus"))

    def client(self, program: Path, data: Path | None = None) -> LauncherClient:
        env = {"HOME": str(self.home), "XDG_RUNTIME_DIR": str(self.run)}
        repository = make_repository(self.root / f"repo-{secrets.token_hex(4)}")
        return LauncherClient(data or self.data, repository, env, program=program)

    def look(self) -> str:
        """What an agent runs who knows this machine."""
        files = " ".join(map(str, self.secrets().values()))
        sockets = f"{self.data}/roverd.sock {self.run}/bus"
        told = _LOOK.format(files=files, sockets=sockets, home=self.home)
        # The script lies in the sandbox: it is not to find itself.
        return f"echo {base64.b64encode(told.encode()).decode()} | base64 -d | bash"


@pytest.fixture
def person() -> Iterator[UserHome]:
    root = Path(tempfile.mkdtemp(prefix="rover-python-", dir="/var/tmp"))
    shared = Path(tempfile.mkdtemp(prefix="rover-python-", dir="/dev/shm"))
    made = UserHome(root, shared)
    made.move_in()
    yield made
    made.bus.close()
    end_daemon(made.data)
    for folder in (root, shared):
        remove_tree(folder)


def _in_home(name: str) -> Callable[[UserHome], Path]:
    return lambda person: make_python(person.home / name)


def _elsewhere(person: UserHome) -> Path:
    return make_environment(person.shared / "venv", make_python(person.home / ".local"))


PLACES = {
    "pyenv": _in_home(".pyenv/versions/3.11.7"),
    "local": _in_home(".local"),
    "uv": _in_home(".local/share/uv/python/cpython-3.11-linux-x86_64-gnu"),
    "conda": _in_home("miniconda3"),
    "home": _in_home(""),
    "venv-on-another-disk": _elsewhere,
    "another-disk": lambda person: make_python(person.shared / "python"),
}


def _play(client: LauncherClient, look: str) -> str:
    client.open()
    task = client.tool(
        "create_task", description="Look", workflow="quick", agent="scripted",
        engine="bubblewrap", script=script(implement=[{"run": look}]), auto_resume=False,
    )["task"]  # fmt: skip
    client.wait_until(task["id"], "COMPLETED")
    run = client.home / "tasks" / task["id"] / "iterations/1/run/logs/implement.log"
    return run.read_text(errors="replace")


def _assert_nothing_was_seen(said: str, person: UserHome) -> None:
    assert person.canaries.found_in(said) == [], said
    assert "PWNED" not in said
    found = [line.split()[-1] for line in said.splitlines() if line.startswith("socket ")]
    assert found == ["/rover/gateway/gateway.sock"], said
    assert "forwarded" in said.splitlines(), said


@pytest.mark.parametrize("place", PLACES)
def test_a_sandbox_sees_nothing_beside_the_daemons_python(person: UserHome, place: str) -> None:
    """Succeeded at 700cc57 for ~/.local and the home itself: the prefix was mounted whole."""
    program = PLACES[place](person)
    packages = next(program.resolve().parent.parent.rglob("site-packages"))
    (packages / "private.py").write_text(f"# {person.canaries.new('packages')}\n")
    with person.client(program) as client:
        _assert_nothing_was_seen(_play(client, person.look()), person)


@pytest.mark.parametrize("place", ["/usr/lib", "/usr/local/lib"])
def test_nor_where_it_is_the_systems(person: UserHome, place: str) -> None:
    folder = Path(tempfile.mkdtemp(prefix="rover-python-", dir=place))
    try:
        with person.client(make_python(folder)) as client:
            _assert_nothing_was_seen(_play(client, person.look()), person)
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("place", ["library", "data", "system", "home"])
def test_a_place_that_would_show_the_user_is_refused(person: UserHome, place: str) -> None:
    """Succeeded at 700cc57: what lay beneath /usr or the Python's prefix was seen inside."""
    data, program = person.data, make_python(person.home / ".local")
    system = Path(tempfile.mkdtemp(prefix="rover-data-", dir="/usr/local/share"))
    system.chmod(0o700)
    match place:
        case "library":
            data = person.home / ".local/lib" / VERSION / "rover"
        case "data":
            program = make_python(data / "python")
        case "system":
            data = system / "data"
        case _:
            (system / "alice").symlink_to(person.home)
            person.home.rename(system / "home")
            person.home.symlink_to(system / "home")
    try:
        with person.client(program, data) as client:
            client.open()
            with pytest.raises(ToolError) as caught:
                _create(client)
            assert "a sandbox would see" in caught.value.error["message"]
            assert caught.value.error["hint"]
    finally:
        end_daemon(data)
        end_daemon(person.data)
        remove_tree(system)


def _create(client: LauncherClient) -> None:
    client.tool(
        "create_task", description="Look", workflow="quick", agent="scripted",
        engine="bubblewrap", script=script(implement=[{"run": "true"}]),
    )  # fmt: skip
