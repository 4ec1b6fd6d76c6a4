"""Toolchains in HOME, as `rover init` proposes them."""

from __future__ import annotations

from pathlib import Path

from rover_mcp.cli.toolchain_entries import toolchains_in, toolchains_to_name


def program(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    path.chmod(0o755)


def test_the_newest_of_each_kind_is_proposed_and_no_folder_with_log_ins(tmp_path: Path) -> None:
    for name in (
        ".nvm/versions/node/v9.11.2/bin/node", ".nvm/versions/node/v22.1.0/bin/node",
        ".pyenv/versions/3.12.1/bin/python3", ".rustup/toolchains/stable-x86_64/bin/cargo",
        ".asdf/installs/ruby/3.3.0/bin/ruby", ".local/share/mise/installs/go/1.22.1/bin/go",
        "sdk/go1.21.0/bin/go", ".cargo/bin/rg", "go/bin/dlv", ".local/bin/uv",
    ):  # fmt: skip
        program(tmp_path / name)
    (tmp_path / ".cargo" / "credentials.toml").write_text("token")
    (tmp_path / ".pyenv" / "versions" / "4.0-empty").mkdir()
    (tmp_path / ".pyenv" / "versions" / "latest").symlink_to("3.12.1")
    assert toolchains_in(tmp_path) == [
        "~/.nvm/versions/node/v22.1.0", "~/.pyenv/versions/3.12.1",
        "~/.rustup/toolchains/stable-x86_64", "~/.asdf/installs/ruby/3.3.0",
        "~/.local/share/mise/installs/go/1.22.1", "~/sdk/go1.21.0", "~/go/bin", "~/.cargo/bin",
        "~/.local/bin",
    ]  # fmt: skip
    data = tmp_path / "data"
    data.mkdir()
    assert toolchains_to_name(data, tmp_path)
    (data / "config.yaml").write_text("toolchains: []\n")
    assert toolchains_to_name(data, tmp_path) == []


def test_an_empty_home_has_none(tmp_path: Path) -> None:
    assert toolchains_in(tmp_path) == []
