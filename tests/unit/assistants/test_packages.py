"""What is published beside the package says what is true of it."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any, get_args
from urllib.parse import unquote
from xml.etree import ElementTree

from agent_runner.models import PauseReason
from rover_mcp import __version__
from rover_mcp.launcher import handshake
from rover_mcp.server.app import ICON
from rover_mcp.server.results import WaitResult
from rover_mcp.server.tools import TOOLS
from rover_mcp.tasks.view_models import PauseView, TaskView
from tests.unit.assistants.registry import ServerDetail

Json = dict[str, Any]
ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
SKILL = (ROOT / "plugins" / "rover" / "skills" / "delegate" / "SKILL.md").read_text("utf-8")


def read(*parts: str) -> Json:
    return json.loads(ROOT.joinpath(*parts).read_text("utf-8"))


def test_the_plugin_has_the_version_of_the_package() -> None:
    assert (
        read("plugins", "rover", ".claude-plugin", "plugin.json")["version"] == PROJECT["version"]
    )


def test_every_word_in_code_in_the_skill_is_of_our_surface() -> None:
    """A tool, an argument, a field of a result, or a word of a closed set."""
    named = set(re.findall(r"`([a-z_]+)`", SKILL))
    models = (TaskView, PauseView, WaitResult, *(entry.arguments for entry in TOOLS.values()))
    fields = {name for model in models for name in model.model_fields}
    returned = set(get_args(WaitResult.model_fields["returned"].annotation))
    assert named <= set(TOOLS) | fields | returned | {reason.value for reason in PauseReason}
    assert {"create_task", "wait_for_task", "resume_task", "get_diff"} <= named


def test_the_skill_says_what_to_do_at_every_reason_for_a_pause() -> None:
    rows = re.findall(r"(?m)^\| `([a-z_]+)` \|", SKILL)
    assert sorted(rows) == sorted(reason.value for reason in PauseReason)


def test_the_skill_is_short_and_says_when_it_applies() -> None:
    """Its description is in every session; it is itself read when it applies."""
    head = SKILL.split("---\n")[1]
    description = head.partition("description: ")[2]
    assert "Use when" in description
    assert len(description) < 500
    assert len(SKILL) < 6_000


def test_the_entry_for_the_registry_is_valid_and_names_this_package() -> None:
    server = ServerDetail.model_validate_json((ROOT / "server.json").read_bytes())
    (package,) = server.packages
    assert server.version == package.version == PROJECT["version"] == __version__
    assert package.identifier == PROJECT["name"]
    assert server.description == PROJECT["description"]


def test_the_readme_proves_to_the_registry_whose_package_it_is() -> None:
    """It looks for this line in what PyPI shows."""
    readme = (ROOT / PROJECT["readme"]).read_text("utf-8")
    assert re.findall(r"mcp-name: (\S+)", readme) == [read("server.json")["name"]]


def test_the_variables_of_the_registry_exist_and_keys_are_secret() -> None:
    server = ServerDetail.model_validate_json((ROOT / "server.json").read_bytes())
    for variable in server.packages[0].environmentVariables:
        passed_on = bool(handshake.allowed_environment({variable.name: "x"}))
        assert passed_on != (variable.name == "ROVER_HOME"), variable.name
        assert variable.isSecret == variable.name.endswith("_KEY")
    assert handshake.data_folder_name({"ROVER_HOME": "/x"}) == "/x"


def test_the_icon_is_a_drawing_that_a_client_can_read_where_it_is() -> None:
    kind, _, data = ICON.src.partition(",")
    assert kind == f"data:{ICON.mime_type}"
    drawing = ElementTree.fromstring(unquote(data))
    assert drawing.tag == "{http://www.w3.org/2000/svg}svg"
    assert len(ICON.src) < 1_500, "it is in every answer to initialize"


def test_every_tool_has_a_title() -> None:
    assert all(entry.tool.annotations.title for entry in TOOLS.values())
