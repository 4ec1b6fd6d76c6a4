"""What goes beyond the user's own configuration needs a person, or a line that a person wrote."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import anyio
import pytest

from agent_runner.models import Budget
from rover_mcp.config.trusted_projects import TrustedProject
from rover_mcp.domain.errors import NeedsConsent, NotFound, UserFixable
from rover_mcp.domain.network_policy import NetworkPolicy
from rover_mcp.server import trust_method as server_trust
from rover_mcp.server.trust_method import TrustParams
from rover_mcp.store.records import TaskRow
from rover_mcp.tasks.caller import Caller
from rover_mcp.testing.fake_engine import FakeEngine
from tests.support.desk import PLAIN, FakeEngines, ServerHarness, with_settings
from tests.support.requests import create_request

MINE = {"budget": Budget(usd=5, tokens=1000), "network": NetworkPolicy.model_validate({})}


def create(desk: ServerHarness, caller: Caller | None = None, /, **changes: Any) -> TaskRow:
    named: dict[str, Any] = {"description": "Fix the sum", **changes}
    request = create_request(**named)
    row = desk.store.tasks.get(desk.tasks.create(caller or desk.caller, request).id)
    assert row is not None
    return row


def refused(desk: ServerHarness, caller: Caller | None = None, /, **changes: Any) -> UserFixable:
    before = desk.store.tasks.page()
    with pytest.raises(UserFixable) as caught:
        create(desk, caller, **changes)
    assert desk.store.tasks.page() == before
    return caught.value


def remote(desk: ServerHarness) -> Caller:
    return replace(desk.caller, user="ann", projects=(desk.repo,))


# A call


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"network": "open"}, "network: {mode: open}"),
        ({"budget": Budget(usd=6)}, "budget: {usd: 6, tokens: 1000}"),
        ({"budget": Budget(tokens=1001)}, "budget: {usd: 5, tokens: 1001}"),
        ({"engine": "docker"}, "engine: docker"),
    ],
)
def test_a_call_beyond_the_users_configuration_needs_a_person(
    desk: ServerHarness, changes: dict[str, Any], line: str
) -> None:
    """Succeeded at 700cc57: each of these calls made a task with what it asked for."""
    with_settings(desk, **MINE, engine="bubblewrap" if "engine" in changes else "auto")
    error = refused(desk, **changes)
    assert isinstance(error, NeedsConsent)
    assert (error.code, error.askable) == ("not_allowed", "form")
    assert str(error.hint).endswith(line)
    for wrong in ("", "0" * 32):
        assert isinstance(refused(desk, **changes, consent=wrong), NeedsConsent)
    assert create(desk, **changes, consent=error.digest).title == "Fix the sum"
    other = refused(desk, **{**changes, "network": "open", "budget": Budget(usd=99)})
    assert isinstance(other, NeedsConsent)
    assert other.digest != error.digest, "a yes counts for what was asked"


def test_over_http_only_the_owners_file_decides(desk: ServerHarness) -> None:
    """Succeeded at 700cc57 for network and budget."""
    with_settings(desk, **MINE)
    for changes, line in (
        ({"network": "open"}, "network: {mode: open}"),
        ({"budget": Budget(usd=50)}, "budget: {usd: 50, tokens: 1000}"),
        ({"engine": "process"}, "engine: process"),
    ):
        error = refused(desk, remote(desk), **changes)
        assert not isinstance(error, NeedsConsent), "nobody there is asked"
        assert line in str(error.hint)
        assert str(desk.home) not in f"{error} {error.hint}"


def test_what_is_within_the_users_configuration_needs_nobody(desk: ServerHarness) -> None:
    with_settings(desk, **MINE)
    for changes in (
        {"network": "providers"},
        {"network": "allowlist"},
        {"budget": Budget(usd=5)},
        {"budget": Budget(usd=0.5, tokens=10)},
        {"engine": "docker"},
        {"engine": "auto"},
    ):
        assert create(desk, **changes)
    with_settings(desk, budget=None, network=NetworkPolicy.model_validate({"mode": "open"}))
    assert create(desk, network="open", budget=Budget(usd=1000)).budget == Budget(usd=1000)


def test_auto_means_the_engine_that_the_user_named(desk: ServerHarness) -> None:
    with_settings(desk, engine="bubblewrap")
    error = refused(desk, engine="docker")
    assert isinstance(error, NeedsConsent)
    # The stage has docker only: bubblewrap it is that was looked for.
    with pytest.raises(Exception, match="bubblewrap does not work here"):
        create(desk, engine="auto")


def test_without_a_sandbox_a_form_is_not_enough(
    desk: ServerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Succeeded at 700cc57: a shell on the host, with nobody asked."""
    engines = cast("FakeEngines", desk.tasks.create_task.engines)
    monkeypatch.setattr(engines.engine, "name", "process")
    error = refused(desk, engine="process")
    assert isinstance(error, NeedsConsent)
    assert error.askable == "terminal"
    assert "allow_process: true" in str(error.hint)
    scripted = refused(desk, engine="process", agent="scripted", script="steps: {}")
    assert isinstance(scripted, NeedsConsent)
    assert scripted.askable is None, "commands of a call, outside a sandbox: a line alone"
    again = {"engine": "process", "agent": "scripted", "consent": scripted.digest}
    assert isinstance(refused(desk, **again), NeedsConsent)
    with_settings(desk, allow_process=True)
    assert create(desk, engine="process", agent="scripted").engine == "process"
    assert "engine: process" in str(refused(desk, remote(desk), engine="process").hint)


def test_a_resume_takes_no_larger_budget_than_the_users(desk: ServerHarness) -> None:
    """Succeeded at 700cc57."""
    with_settings(desk, **MINE)
    task = create(desk, budget=Budget(usd=1))
    desk.tasks.pause(task)
    row = desk.tasks.finder.find(desk.caller, task.id)
    with pytest.raises(NeedsConsent, match=r"budget\.usd") as caught:
        desk.tasks.resume(desk.caller, row, "now", budget=Budget(usd=6))
    with pytest.raises(UserFixable):
        desk.tasks.resume(remote(desk), row, "now", budget=Budget(usd=6), by_person=True)
    digest = caught.value.digest
    done = desk.tasks.resume(desk.caller, row, "now", budget=Budget(usd=6), consent=digest)
    assert done.result == "resumed"


# A project


def repository(desk: ServerHarness, config: str = "", **files: str) -> None:
    (desk.repo / ".rover" / "workflows").mkdir(parents=True, exist_ok=True)
    if config:
        (desk.repo / ".rover" / "config.yaml").write_text(config)
    for name, text in files.items():
        (desk.repo / ".rover" / "workflows" / f"{name}.yaml").write_text(text)


ASKS = {
    "copy: [.env]": "copy into the sandbox: .env",
    "network: {mode: open}": "network: open",
    "network: {allow: [evil.example.org]}": "evil.example.org",
    'hooks: {before_agent: ["curl evil"]}': "hooks.before_agent: curl evil",
    "setup: {commands: [make deps]}": "setup commands: make deps",
    "environment: {DEBUG: 1}": "DEBUG=1",
    "image: evil/image": "image: evil/image",
}


@pytest.mark.parametrize("config", ASKS)
def test_what_a_configuration_opens_counts_only_with_consent(
    desk: ServerHarness, config: str
) -> None:
    """Succeeded at 700cc57: it counted in the first task after the clone."""
    repository(desk, f"{config}\nbudget: {{usd: 2}}\n")
    error = refused(desk)
    assert isinstance(error, NeedsConsent)
    assert error.code == "not_trusted"
    assert ASKS[config] in error.message
    assert "rover trust" in str(error.hint)
    ignoring = create(desk, project_config="ignore")
    assert ignoring.config is not None
    assert (ignoring.config.ignored, ignoring.budget) == (True, Budget(usd=2)), "it narrows still"
    assert not ignoring.config.copies
    assert (ignoring.network or {})["mode"] == "allowlist"
    assert not ignoring.config.hooks.before_agent
    assert any("left out" in w for w in ignoring.warnings)
    assert refused(desk), "nothing was remembered"
    desk.trust()
    assert create(desk).config


COMMITTED = {
    ".devcontainer/devcontainer.json": b'{"image": "evil", "postCreateCommand": "curl evil"}',
    ".devcontainer.json": b'{"build": {"dockerfile": "Dockerfile"}}',
    ".rover/setup.sh": b"curl evil",
}


@pytest.mark.parametrize("path", COMMITTED)
def test_a_committed_set_up_counts_only_with_consent_and_each_content_asks(
    desk: ServerHarness, path: str
) -> None:
    """Succeeded at 700cc57."""
    desk.repositories.committed |= {path: COMMITTED[path], "Dockerfile": b"FROM evil\n"}
    assert refused(desk).code == "not_trusted"
    assert create(desk, project_config="ignore").config.ignored  # pyright: ignore[reportOptionalMemberAccess]
    desk.trust()
    create(desk)
    if path != ".devcontainer.json":
        desk.repositories.committed[path] = COMMITTED[path].replace(b"curl evil", b"curl worse")
    else:
        desk.repositories.committed["Dockerfile"] = b"FROM evil\nRUN curl worse\n"
    assert "(changed" in refused(desk).message


def test_a_workflow_that_stands_for_another_counts_only_with_consent(desk: ServerHarness) -> None:
    """Succeeded at 700cc57, and was shown as `swe (default)`."""
    repository(desk, swe=PLAIN.replace("make test", "curl evil"))
    error = refused(desk)
    assert "the project's own .rover/workflows/swe.yaml" in error.message
    assert "in place of the user one" in error.message
    assert create(desk, project_config="ignore").inputs["test_command"] == "make test"
    desk.trust()
    row = create(desk)
    assert row.inputs["test_command"] == "curl evil"
    shown = desk.tasks.view(row, full=True).config or {}
    assert shown["workflow"] == "swe (default; the project's own .rover/workflows/swe.yaml)"
    assert any("swe.yaml, not the user one" in w for w in row.warnings)
    repository(desk, swe=PLAIN.replace("make test", "curl worse"))
    assert "(changed" in refused(desk).message


def test_a_workflow_that_only_the_project_has_is_the_callers_choice(desk: ServerHarness) -> None:
    repository(desk, release=PLAIN)
    assert create(desk, workflow="release").config.workflow_file  # pyright: ignore[reportOptionalMemberAccess]
    repository(desk, "workflow: release\n")
    assert refused(desk).code == "not_trusted", "but not the project's own"
    assert create(desk, project_config="ignore").workflow == "swe"
    with pytest.raises(NotFound):
        create(desk, project_config="ignore", workflow="release")


SETUPS: dict[str, tuple[str, dict[str, bytes]]] = {
    "commands": ("setup: {commands: [curl evil]}\n", {}),
    "script": ("", {".rover/setup.sh": b"curl evil"}),
    "named script": ("setup: {script: a.sh}\n", {"a.sh": b"curl evil"}),
    "devcontainer": (
        "devcontainer: all\n",
        {".devcontainer.json": b'{"postCreateCommand": "curl evil", "containerEnv": {"A": "1"}}'},
    ),
}


@pytest.mark.parametrize("kind", SETUPS)
def test_a_set_up_that_nobody_can_be_asked_for_is_left_out_and_only_that(
    desk: ServerHarness, kind: str
) -> None:
    """No command runs that nobody consented to, and all else is refused as ever."""
    config, committed = SETUPS[kind]
    repository(desk, config)
    desk.repositories.committed |= committed
    need = refused(desk)
    assert isinstance(need, NeedsConsent), "who can be asked is asked"
    assert need.can_do_without
    for row in (create(desk, unasked=True), create(desk, remote(desk))):
        assert row.config is not None
        assert row.config.without_setup
        [told] = [w for w in row.warnings if "was left out" in w]
        assert "evil" in told or ".sh" in told
        assert f"rover trust {desk.repo}" in told
        assert "trusted_projects" in told
    assert refused(desk), "nothing was remembered"
    for more in (
        "copy: [.env]\n",
        "network: {mode: open}\n",
        "image: evil\n",
        "environment: {B: 1}\n",
    ):
        repository(desk, f"{config}{more}")
        for caller in (desk.caller, remote(desk)):
            assert refused(desk, caller, unasked=True).code == "not_trusted", more
    repository(desk, config)
    assert refused(desk, unasked=True, network="open").code == "not_trusted", "the call's own too"
    desk.trust()
    trusted = create(desk, unasked=True).config
    assert trusted is not None
    assert not trusted.without_setup


def test_what_the_rest_of_a_consent_covers_stays_where_the_set_up_changed(
    desk: ServerHarness,
) -> None:
    repository(desk, "copy: [.env]\nsetup: {commands: [make deps]}\n")
    desk.trust()
    repository(desk, "copy: [.env]\nsetup: {commands: [curl evil]}\n")
    (desk.repo / ".env").write_text("A=1\n")
    row = create(desk, unasked=True)
    assert row.config is not None
    assert (row.config.without_setup, row.config.copies) == (True, (".env",))
    shown = desk.tasks.view(row, full=True).config or {}
    assert "left out" in shown["setup"]


def test_a_devcontainer_that_is_switched_off_needs_nobody(desk: ServerHarness) -> None:
    desk.repositories.committed |= {
        ".devcontainer.json": b'{"image": "evil", "postCreateCommand": "a"}'
    }
    error = refused(desk)
    assert "devcontainer: off" in str(error.hint)
    row = create(desk, devcontainer="off")
    assert row.config is not None
    assert row.config.devcontainer == "off"
    assert (desk.tasks.view(row, full=True).config or {})["devcontainer"] == "off (call)"
    assert "image evil" in refused(desk, devcontainer="image").message
    assert "commands" not in refused(desk, devcontainer="image").message
    repository(desk, "devcontainer: off\n")
    assert create(desk).config.devcontainer == "off"  # pyright: ignore[reportOptionalMemberAccess]
    every = refused(desk, devcontainer="all")
    assert isinstance(every, NeedsConsent), "what a call takes of it beyond the project's own word"
    create(desk, devcontainer="all", consent=every.digest)
    create(desk, devcontainer="all")
    with_settings(desk, devcontainer="off")
    repository(desk, "workflow: swe\n")
    assert create(desk)
    desk.repositories.committed[".devcontainer.json"] = b"{ broken"
    assert create(desk), "what does not count is not read"


def test_things_that_were_trusted_apart_are_not_trusted_together(desk: ServerHarness) -> None:
    repository(desk, "copy: [.env]\n")
    desk.trust()
    repository(desk, "network: {mode: open}\n")
    desk.trust()
    create(desk)
    repository(desk, "copy: [.env]\n")
    create(desk)
    repository(desk, "copy: [.env]\nnetwork: {mode: open}\n")
    assert refused(desk).code == "not_trusted"


def test_a_mode_that_the_user_named_is_the_most_whoever_consents(desk: ServerHarness) -> None:
    network = NetworkPolicy(mode="providers")  # pyright: ignore[reportArgumentType]
    settings = desk.tasks.settings.model_validate({"home": desk.home, "network": network})
    with_settings(desk, **vars(settings))
    desk.tasks.settings.__pydantic_fields_set__.add("network")
    repository(desk, "network: {mode: open, allow: [evil.example.org]}\n")
    row = create(desk)
    assert (row.network or {})["mode"] == "providers"


def test_a_consent_is_given_by_a_person_at_a_terminal_alone(desk: ServerHarness) -> None:
    """No caller of a tool, nobody over HTTP, nobody without a terminal."""
    repository(desk, "copy: [.env]\n")
    work = desk.tasks.create_task
    shown = anyio.run(server_trust.trust, work, desk.caller, TrustParams())
    assert [ask["state"] for ask in shown["asks"]] == ["new"]
    grant = TrustParams(action="grant", digest=shown["digest"])
    person = replace(desk.caller, terminal=True)
    stale = TrustParams(action="grant", digest="0" * 32)
    for caller, params in ((desk.caller, grant), (remote(desk), grant), (person, stale)):
        with pytest.raises(Exception, match=r"terminal|this machine|changed"):
            anyio.run(server_trust.trust, work, caller, params)
        assert refused(desk)
    anyio.run(server_trust.trust, work, person, grant)
    create(desk)
    (desk.home / "trust.json").write_text("{ broken")
    assert refused(desk).code == "not_trusted", "what cannot be read is no consent"


def test_lines_of_the_users_own_trust_a_path_or_one_content(desk: ServerHarness) -> None:
    repository(desk, "copy: [.env]\n")
    shown = anyio.run(server_trust.trust, desk.tasks.create_task, desk.caller, TrustParams())
    with_settings(desk, trusted_projects=(TrustedProject(path=desk.repo, digest=shown["digest"]),))
    create(desk, remote(desk))
    repository(desk, "copy: [.env, .npmrc]\n")
    assert refused(desk).code == "not_trusted"
    with_settings(desk, trusted_projects=(TrustedProject(path=desk.repo),))
    create(desk)


# Files of a repository


def fifo(path: Path) -> None:
    os.mkfifo(path)


def terminal(path: Path) -> None:
    path.symlink_to("/dev/tty")


def elsewhere(path: Path) -> None:
    path.symlink_to(path.parents[3] / "home" / "workflows" / "strict.yaml")


@pytest.mark.parametrize("make", [fifo, terminal, elsewhere])
def test_a_workflow_is_read_beneath_the_root_never_through_links(
    desk: ServerHarness, make: Any
) -> None:
    """Succeeded at 700cc57: a link to a terminal hung the daemon and took what was typed."""
    repository(desk)
    make(desk.repo / ".rover" / "workflows" / "swe.yaml")
    told = {w["name"]: w for w in desk.status.workflows(desk.caller, None)}
    assert "symbolic link" in told["swe"]["error"] or "not a regular file" in told["swe"]["error"]
    assert refused(desk).code == "invalid_workflow"
    assert create(desk, project_config="ignore").workflow == "swe"


def test_a_folder_of_workflows_that_is_a_link_is_none(desk: ServerHarness) -> None:
    (desk.repo / ".rover").mkdir()
    (desk.repo / ".rover" / "workflows").symlink_to(desk.home / "workflows")
    assert {w["source"] for w in desk.status.workflows(desk.caller, None)} == {"user", "built-in"}


def test_the_engines_warning_is_no_consent(
    desk: ServerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeEngine, "warning", "NO ISOLATION")
    assert "NO ISOLATION" in create(desk).warnings
