"""One entry put into somebody's JSON or TOML, and taken out: nothing else moves."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rover_mcp.assistants import json_text
from rover_mcp.assistants.config_change import (
    ConfigChangeRefused,
    block,
    diff,
    with_entry,
    without_entry,
)
from rover_mcp.assistants.known import CLIENTS

Json = dict[str, Any]
ARGV = ["/opt/rover/bin/rover-mcp"]
CURSOR, CODEX, GEMINI = CLIENTS["cursor"], CLIENTS["codex"], CLIENTS["gemini"]

SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text(max_size=4) | st.sampled_from(["a", "b"]), VALUES, max_size=4)
LAYOUTS = st.sampled_from([None, 1, 2, 4, "\t"])


@given(OBJECTS, LAYOUTS, VALUES, st.sampled_from(["\n", "\r\n"]))
def test_a_member_comes_and_goes_whatever_the_rest_is(
    rest: Json, indent: Any, value: Any, newline: str
) -> None:
    rest = {k: v for k, v in rest.items() if k != "new"}
    text = json.dumps(rest, indent=indent).replace("\n", newline) + newline
    there = json_text.put(text, ["new", "x"], value)
    assert json.loads(there) == {**rest, "new": {"x": value}}
    assert json.loads(json_text.put(there, ["new", "x"], 1)) == {**rest, "new": {"x": 1}}
    assert json.loads(json_text.take_out(there, ["new", "x"])) == {**rest, "new": {}}
    assert json_text.take_out(there, ["new"]) == text or not rest


UNEVEN = """{
    "theme":"dark",   "list": [1,2,
       3],

    "mcpServers": {
        "other": {"command": "x", "env": {"KEY": "secret"}}
    },
    "last" : true
}
"""


def test_an_uneven_file_keeps_its_form_to_the_byte() -> None:
    change = with_entry(CURSOR, UNEVEN, ARGV)
    added = """,
        "rover": {
            "command": "/opt/rover/bin/rover-mcp",
            "args": []
        }"""
    assert change.new == UNEVEN.replace('"secret"}}', '"secret"}}' + added)
    assert without_entry(CURSOR, change.new).new == UNEVEN


def test_the_same_again_changes_nothing() -> None:
    for client in CLIENTS.values():
        once = with_entry(client, "", ARGV).new
        again = with_entry(client, once, ARGV)
        assert again.new == once
        assert again.was_there


def test_what_the_user_added_to_the_entry_stays() -> None:
    own = (
        '{"mcpServers": {"rover": {"command": "old", "args": ["x"], "timeout": 7, "trust": true}}}'
    )
    new = json.loads(with_entry(GEMINI, own, ARGV).new)["mcpServers"]["rover"]
    assert new.pop("env")["OPENAI_API_KEY"] == "$OPENAI_API_KEY"
    assert new == {"command": ARGV[0], "args": [], "timeout": 7, "trust": True}


def test_a_one_line_file_stays_one_line() -> None:
    change = with_entry(CURSOR, '{"a": 1}', ["uvx", "rover-mcp"])
    assert change.new == (
        '{"a": 1, "mcpServers": {"rover": {"command": "uvx", "args": ["rover-mcp"]}}}'
    )


def test_the_last_of_two_equal_keys_counts_as_in_every_parser() -> None:
    text = '{"mcpServers": {}, "mcpServers": {"other": {}}}'
    assert json.loads(with_entry(CURSOR, text, ARGV).new)["mcpServers"].keys() == {"other", "rover"}


def test_only_a_line_around_the_change_is_shown() -> None:
    shown = diff(with_entry(CURSOR, UNEVEN, ARGV), "mcp.json")
    assert "secret" in UNEVEN
    assert len(shown) == 2 + 1 + 2 + 5 + 1


CONFIG = """# mine
model = "o5"

[mcp_servers.other]
command = "x"  # a comment

[mcp_servers.rover]
# mine too
command = "/old/rover-mcp"
args = ["--home", "/x"]
tool_timeout_sec = 90

[mcp_servers.rover.env]
A = "b"

[tui]
theme = "light"
"""


def test_a_toml_table_is_changed_line_by_line() -> None:
    new = with_entry(CODEX, CONFIG, ARGV).new
    kept = [line for line in CONFIG.splitlines() if not line.startswith(("command = ", "args = "))]
    assert [line for line in new.splitlines() if line in kept] == kept
    assert tomllib.loads(new)["mcp_servers"]["rover"] == {
        "command": ARGV[0],
        "tool_timeout_sec": 90,
        "env_vars": ["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY"],
        "startup_timeout_sec": 60,
        "env": {"A": "b"},
    }


def test_a_toml_table_goes_with_the_tables_inside_it() -> None:
    start = CONFIG.index("[mcp_servers.rover]")
    assert without_entry(CODEX, CONFIG).new == CONFIG[:start] + CONFIG[CONFIG.index("[tui]") :]


@pytest.mark.parametrize("text", ["", 'model = "o5"', 'model = "o5"\n', "[a]\nb = 1\r\n"])
def test_a_toml_table_comes_and_goes(text: str) -> None:
    there = with_entry(CODEX, text, ARGV).new
    assert tomllib.loads(there)["mcp_servers"]["rover"]["command"] == ARGV[0]
    assert without_entry(CODEX, there).new.strip() == text.strip()


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("vscode", '{\n  // mine\n  "servers": {}\n}', "has comments"),
        ("vscode", '{"servers": {},}', "cannot be read"),
        ("cursor", "[]", "not an object"),
        ("cursor", '{"mcpServers": []}', "something else at mcpServers"),
        ("cursor", '{"mcpServers": {"rover": null}}', "something else at mcpServers.rover"),
        ("codex", "[broken", "cannot be read"),
        ("codex", 'mcp_servers = {other = {command = "x"}}', "changed safely"),
        ("codex", 'mcp_servers.rover.command = "x"', "changed safely"),
        ("codex", '[mcp_servers]\nrover = {command = "x"}', "changed safely"),
        (
            "codex",
            '[mcp_servers.rover]\ncommand = "x"\nargs = [\n  "y",\n]',
            "changed safely",
        ),
        (
            "codex",
            'a = """\n[mcp_servers.rover]\n"""\n[mcp_servers.other]\ncommand = "x"',
            "changed safely",
        ),
    ],
)
def test_what_cannot_be_changed_safely_is_refused(name: str, text: str, why: str) -> None:
    with pytest.raises(ConfigChangeRefused, match=why):
        with_entry(CLIENTS[name], text, ARGV)


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(ConfigChangeRefused):
        with_entry(CURSOR, '{"a":' * 100_000, ARGV)


@pytest.mark.parametrize("name", CLIENTS)
def test_a_block_holds_the_command_and_nothing_of_this_machine(name: str) -> None:
    client = CLIENTS[name]
    text = block(client, ["/a b/rover-mcp", "--home", 'C:\\x"y'])
    parsed = tomllib.loads(text) if client.toml else json.loads(text)
    made = parsed[client.section]["rover"]
    command = made["command"]
    argv = command if isinstance(command, list) else [command, *made["args"]]
    assert argv == ["/a b/rover-mcp", "--home", 'C:\\x"y']
