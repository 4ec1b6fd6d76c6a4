"""The service that starts the daemon after a reboot (Q4)."""

from __future__ import annotations

import json
import os
import plistlib
import subprocess
import sys
from pathlib import Path

import pytest

from rover_mcp.cli.command_line import main
from rover_mcp.launcher.user_service import is_installed, offers, plist, service_of, unit

STRANGE = 'a folder with spaces, 100% $HOME \\ and "quotes"'


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    return tmp_path / "data folder"


def systemctl(folder: Path, monkeypatch: pytest.MonkeyPatch, *, answers: bool = True) -> Path:
    """A stand-in on the PATH, since no test may change the machine's services; what it was asked."""
    programs, asked = folder / "programs", folder / "asked"
    programs.mkdir()
    program = programs / "systemctl"
    program.write_text(f"#!/bin/sh\necho \"$@\" >> '{asked}'\nexit {0 if answers else 1}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    return asked


def complaints(file: Path) -> list[str]:
    """What the real systemd-analyze says of a unit."""
    command = ["systemd-analyze", "verify", "--user", "--man=no", str(file)]
    environ = {**os.environ, "XDG_RUNTIME_DIR": str(file.parent)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
    assert "Failed to initialize" not in done.stderr
    return [line for line in done.stderr.splitlines() if file.name in line]


def test_systemd_understands_the_unit_whatever_stands_in_its_paths(tmp_path: Path) -> None:
    folder = tmp_path / STRANGE
    folder.mkdir()
    python = folder / "python"
    python.symlink_to(sys.executable)
    text = unit([str(python), "-m", "rover_mcp.daemon"], {"ROVER_HOME": str(folder)})
    file = tmp_path / "rover-test.service"
    file.write_text(text)
    assert '100%% $$HOME \\\\ and \\"quotes\\"' in text
    assert complaints(file) == []
    file.write_text(text.replace("ExecStart=/", "ExecStart=/no/such/"))
    assert complaints(file) != []
    assert "KillMode=process" in text, "sandboxes go on"


def test_launchd_gets_the_same(tmp_path: Path) -> None:
    found = plistlib.loads(
        plist("dev.rover-mcp", ["/a b/python", "-m", "x"], {"ROVER_HOME": "/a b"})
    )
    assert found["ProgramArguments"] == ["/a b/python", "-m", "x"]
    assert found["EnvironmentVariables"] == {"ROVER_HOME": "/a b"}
    assert found["KeepAlive"] == {"SuccessfulExit": False}
    service = service_of(tmp_path / "x", {}, "darwin", tmp_path)
    assert service.file.parent == tmp_path / "Library" / "LaunchAgents"


def test_a_service_knows_where_programs_and_log_ins_are_and_no_key(home: Path) -> None:
    """What is kept of the environment is no secret."""
    environ = {
        "HOME": str(home.parent), "PATH": "/opt/bin:/usr/bin", "CODEX_HOME": "/c d",
        "ANTHROPIC_API_KEY": "sk-secret", "HTTPS_PROXY": "http://me:password@proxy:1",
        "NO_PROXY": "localhost", "PASSWORD": "secret",
    }  # fmt: skip
    text = service_of(home, environ, "linux", home.parent).text.decode()
    for kept in ("PATH=/opt/bin:/usr/bin", "CODEX_HOME=/c d", "NO_PROXY=localhost",
                 f"ROVER_HOME={home}"):  # fmt: skip
        assert f'"{kept}"' in text
    assert "secret" not in text
    assert "password" not in text


def test_each_data_folder_has_a_service_of_its_own(home: Path) -> None:
    usual = home.parent / ".local" / "share" / "rover"
    environ = {"ROVER_HOME": str(home)}
    assert service_of(usual, environ, "linux", home.parent).name == "rover-mcp.service"
    names = {service_of(home / str(n), environ, "linux", home.parent).name for n in range(2)}
    assert len(names) == 2


def test_it_is_installed_and_removed_again(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = systemctl(tmp_path, monkeypatch)
    assert main(["service", "status", "--home", str(home)]) == 0
    assert "rover service install" in capsys.readouterr().out
    assert main(["service", "install", "--home", str(home)]) == 0
    assert "loginctl enable-linger" in capsys.readouterr().out
    [file] = (tmp_path / ".config" / "systemd" / "user").iterdir()
    calls = asked.read_text().splitlines()
    at = calls.index("--user daemon-reload")
    assert calls[at + 1] == f"--user enable --now {file.name}"
    assert is_installed(home)
    assert main(["service", "status", "--json", "--home", str(home)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["installed"], told["enabled"], told["running"]) == (True, True, True)
    assert main(["service", "uninstall", "--home", str(home)]) == 0
    assert not file.exists()
    assert main(["service", "uninstall", "--home", str(home)]) == 1


def test_without_a_service_manager_another_way_is_named(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    systemctl(tmp_path, monkeypatch, answers=False)
    assert main(["service", "install", "--home", str(home)]) == 1
    said = capsys.readouterr().err
    assert "nothing was installed" in said
    assert "@reboot" in said
    assert f"'ROVER_HOME={home}'" in said
    assert not is_installed(home)


def test_it_is_offered_once_where_there_is_none(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.mkdir()
    assert [offers(home) for _ in range(3)] == [True, False, False]
    other = tmp_path / "other"
    other.mkdir()
    systemctl(tmp_path, monkeypatch)
    assert main(["service", "install", "--home", str(other)]) == 0
    assert not offers(other)
