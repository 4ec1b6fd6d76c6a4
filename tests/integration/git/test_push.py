"""Pushing from a user's repository to real git servers: by file, and by HTTP with sign-in."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from agent_runner.crashpoints import VARIABLE
from rover_mcp.domain.errors import Conflict, EnvironmentFault, NotFound, RoverError, UserFixable
from rover_mcp.domain.operation import OperationPoint
from rover_mcp.domain.paths import project_folder
from rover_mcp.domain.task_status import TaskStatus
from rover_mcp.store.migrations import database_url, open_database
from rover_mcp.store.store import Store
from rover_mcp.tasks.push import PushKind
from tests.integration.git.conftest import git
from tests.integration.git.push_stage import BRANCH, PushScenario, own_git, stage
from tests.integration.git.test_merge import everything
from tests.support.certificates import server_context
from tests.support.git_server import GitServer, bare, git_server, pre_receive
from tests.support.samples import TASK

__all__ = ["own_git", "stage"]

ROOT = Path(__file__).parents[3]


@pytest.fixture
def server(stage: PushScenario, tmp_path: Path) -> Iterator[GitServer]:
    """A server over HTTP that has the repository, as its origin."""
    bare(tmp_path / "served/origin.git", stage.repo)
    git(tmp_path / "served/origin.git", "branch", "-D", BRANCH)
    with git_server(tmp_path / "served") as running:
        git(stage.repo, "remote", "add", "origin", f"{running.address}origin.git")
        yield running


def origin(server: GitServer) -> Path:
    return server.root / "origin.git"


def there(server: GitServer, branch: str = BRANCH) -> str:
    return git(origin(server), "rev-parse", "--verify", "-q", f"refs/heads/{branch}", ok=False)


def by_hand(server: GitServer, tmp_path: Path, branch: str = BRANCH) -> str:
    """Somebody else's commit on a branch of the server."""
    theirs = tmp_path / "theirs"
    git(tmp_path, "clone", "-q", "-b", branch, str(origin(server)), str(theirs))
    (theirs / "theirs.txt").write_text("by hand\n")
    git(theirs, "add", "-A")
    git(theirs, "commit", "-qm", "by \x1b[31m hand")
    git(theirs, "push", "-q", "origin", branch)
    return there(server, branch)


def test_a_push_makes_the_branch_there_and_changes_nothing_here(
    stage: PushScenario, server: GitServer
) -> None:
    """N4, N10."""
    before = everything(stage.repo)
    shown = stage.plan()
    assert (shown.way, shown.remote, shown.onto) == (PushKind.CREATE, "origin", BRANCH)
    assert there(server) == ""
    done = stage.push()
    assert there(server) == done.commit == stage.tip()
    assert everything(stage.repo) == before
    assert stage.task.status is TaskStatus.PUSHED
    assert "already" in stage.push().text


def test_a_branch_moves_forward_without_force(stage: PushScenario, server: GitServer) -> None:
    """N4."""
    stage.push()
    stage.commit("b.txt")
    assert stage.plan().way is PushKind.FORWARD
    stage.push()
    assert there(server) == stage.tip()


def test_after_a_rebase_what_rover_pushed_is_replaced(
    stage: PushScenario, server: GitServer
) -> None:
    """N4, N10."""
    stage.push()
    new = stage.rewrite()
    assert stage.plan().way is PushKind.REPLACE
    done = stage.push()
    assert there(server) == new
    assert f"--force-with-lease=refs/heads/{BRANCH}:{new}" in done.text


def test_a_commit_of_somebody_elses_is_named_and_never_overwritten(
    stage: PushScenario, server: GitServer, tmp_path: Path
) -> None:
    """N10: although the branch was Rover's."""
    stage.push()
    theirs = by_hand(server, tmp_path)
    stage.rewrite()
    assert stage.plan().way is PushKind.REFUSED
    with pytest.raises(Conflict, match="a commit that") as refused:
        stage.push()
    assert refused.value.code == "foreign_commits"
    assert f'{theirs[:7]} "by hand" by "A"' in refused.value.message
    assert "\x1b" not in refused.value.message
    assert "git merge FETCH_HEAD" in (refused.value.hint or "")
    assert there(server) == theirs
    # Also where the user has fetched it: knowing a commit does not make it the task's.
    git(stage.repo, "fetch", "-q", "origin")
    with pytest.raises(Conflict, match="by hand"):
        stage.push()
    assert there(server) == theirs


def test_a_commit_that_comes_between_the_look_and_the_push_stops_it(
    stage: PushScenario, server: GitServer, tmp_path: Path
) -> None:
    """N10: whether the push was to replace or to move forward."""
    stage.push()
    stage.rewrite()
    come: list[str] = []

    def before(target: str) -> None:
        if target.endswith("service=git-receive-pack") and not come:
            come.append("")
            come[0] = by_hand(server, tmp_path)

    server.before = before
    with pytest.raises(Conflict) as refused:
        stage.push()
    assert refused.value.code == "remote_moved"
    assert there(server) == come[0] != ""
    rows = stage.store.operations("roverd").of_task(TASK)
    assert [row.state for row in rows] == ["done", "undone"]


def test_no_commit_is_replaced_that_was_not_recorded(
    stage: PushScenario, server: GitServer, tmp_path: Path
) -> None:
    """N10: a bare lease would overwrite what a background fetch has seen."""
    git(stage.repo, "push", "-q", "origin", f"{BRANCH}:{BRANCH}")
    stage.rewrite()
    git(stage.repo, "fetch", "-q", "origin")
    with pytest.raises(Conflict) as refused:
        stage.push()
    assert refused.value.code == "foreign_commits"


def test_a_default_branch_is_never_replaced(stage: PushScenario, server: GitServer) -> None:
    stage.push(branch="main")
    assert there(server, "main") == stage.tip()
    stage.rewrite()
    with pytest.raises(Conflict) as refused:
        stage.push(branch="main")
    assert refused.value.code == "foreign_commits"


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (("error: GH006: Protected branch update failed for refs/heads/main.",
          "error: Changes must be made through a pull request."), "protected_branch"),
        (("error: GH013: Repository rule violations found for refs/heads/main.",
          "- Changes must be made through a pull request."), "protected_branch"),
        (("GitLab: You are not allowed to push code to protected branches on this project.",),
         "protected_branch"),
        (("GitLab: You are not allowed to force push code to a protected branch on this project.",),
         "protected_branch"),
        (("error: GH013: Repository rule violations found for refs/heads/x.",
          "- GITHUB PUSH PROTECTION", "  - Push cannot contain secrets"), "server_saw_secret"),
        (("error: GH008: Your push referenced at least 1 unknown Git LFS object:",),
         "lfs_missing"),
        (("GitLab: LFS objects are missing. Ensure LFS is properly set up.",), "lfs_missing"),
        (("error: GH001: Large files detected.",), "too_large"),
        (("GitLab: You are not allowed to push code to this project.",), "no_rights"),
        (("Our rule: every commit names a ticket.",), "remote_hook"),
    ],
)  # fmt: skip
def test_a_servers_refusal_is_named_with_what_to_do(
    stage: PushScenario, server: GitServer, lines: tuple[str, ...], code: str
) -> None:
    """N10: and its words are quoted as untrusted."""
    pre_receive(origin(server), *(f"echo '{line}' >&2" for line in lines), "exit 1")
    with pytest.raises(RoverError) as refused:
        stage.push()
    assert refused.value.code == code
    assert "(untrusted)" in refused.value.message
    assert lines[0] in refused.value.message
    assert refused.value.hint
    assert (there(server), stage.task.status) == ("", TaskStatus.COMPLETED)


def test_what_a_server_prints_is_not_obeyed_by_a_terminal(
    stage: PushScenario, server: GitServer
) -> None:
    pre_receive(origin(server), r"printf '\033[2Jcreate a pull request\n' >&2")
    assert stage.push().server == "?[2Jcreate a pull request"


def test_a_server_that_takes_no_force_is_named(stage: PushScenario, server: GitServer) -> None:
    stage.push()
    git(origin(server), "config", "receive.denyNonFastForwards", "true")
    stage.rewrite()
    with pytest.raises(Conflict) as refused:
        stage.push()
    assert refused.value.code == "no_force"


# Sign-in


def test_without_a_sign_in_the_error_says_what_git_needs(
    stage: PushScenario, server: GitServer
) -> None:
    server.people = {"ursula": "secret"}
    with pytest.raises(EnvironmentFault) as refused:
        stage.plan()
    assert refused.value.code == "no_credentials"
    assert "credential helper" in (refused.value.hint or "")


HELPER = '!f() { test "$1" = get && echo username=ursula && echo password=secret; }; f'


def test_the_users_own_credential_helper_signs_in(
    stage: PushScenario, server: GitServer, own_git: Callable[..., None]
) -> None:
    """N10."""
    server.people = {"ursula": "secret"}
    own_git(("credential.helper", HELPER))
    stage.push()
    assert there(server) == stage.tip()
    assert set(server.signed_in) == {"ursula"}


def test_nothing_that_the_repository_configures_is_run_or_asked(
    stage: PushScenario, server: GitServer, tmp_path: Path, own_git: Callable[..., None]
) -> None:
    """N10: neither helpers nor hooks, rewritten addresses or programs of its own."""
    server.people = {"ursula": "secret"}
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path / 'ran'}\n{HELPER[1:]} $1\n")
    program.chmod(0o755)
    for key in ("credential.helper", "core.sshCommand", "core.askPass", "core.fsmonitor",
                "remote.origin.receivepack", "http.proxy", "core.gitProxy"):  # fmt: skip
        git(stage.repo, "config", key, str(program))
    git(stage.repo, "config", f"url.{tmp_path}/elsewhere/.insteadOf", server.address)
    (stage.repo / ".git/hooks").mkdir(exist_ok=True)
    for hook in ("pre-push", "reference-transaction"):
        (stage.repo / ".git/hooks" / hook).write_text(program.read_text())
        (stage.repo / ".git/hooks" / hook).chmod(0o755)
    with pytest.raises(EnvironmentFault) as refused:
        stage.plan()
    assert refused.value.code == "no_credentials"
    own_git(("credential.helper", HELPER))
    with pytest.raises(UserFixable) as held:
        stage.push()
    assert held.value.code == "hooks"
    stage.push(accept=["pre-push"])
    assert there(server) == stage.tip()
    assert not (tmp_path / "ran").exists()


def test_a_password_in_the_address_signs_in_and_is_shown_nowhere(
    stage: PushScenario, server: GitServer, tmp_path: Path, own_git: Callable[..., None]
) -> None:
    server.people = {"ursula": "s3cr3t-in-url"}
    at = server.address.replace("http://", "http://ursula:s3cr3t-in-url@")
    git(stage.repo, "remote", "set-url", "origin", f"{at}origin.git")
    seen = tmp_path / "arguments"

    def before(_: str) -> None:
        with seen.open("ab") as file:
            for process in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    file.write(process.read_bytes() + b"\n")
                except OSError:
                    continue

    server.before = before
    done = stage.push()
    assert there(server) == stage.tip()
    assert b"git-remote-http" in seen.read_bytes()
    assert b"s3cr3t-in-url" not in seen.read_bytes()
    rows = stage.store.operations("roverd").of_task(TASK)
    assert "s3cr3t" not in f"{done}{rows}{stage.store.events.last(TASK)}"


def test_a_forges_token_signs_in_and_no_helper_stores_it(
    stage: PushScenario,
    server: GitServer,
    tmp_path: Path,
    own_git: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """N10: it goes to its own host only."""
    # It outranks http.sslCAInfo, for git itself as well.
    monkeypatch.delenv("GIT_SSL_CAINFO", raising=False)
    stored = tmp_path / "stored"
    with git_server(server.root, server_context(tmp_path / "tls.pem")) as secure:
        secure.people = {"x-access-token": "token-of-the-users"}
        authority = f"127.0.0.1:{secure.port}"
        git(stage.repo, "remote", "set-url", "origin", f"https://{authority}/origin.git")
        own_git(("credential.helper", f"store --file {stored}"))
        with pytest.raises(EnvironmentFault) as distrusted:
            stage.plan()
        assert distrusted.value.code == "untrusted_certificate"
        own_git(("http.sslCAInfo", str(tmp_path / "tls.pem")))
        stage.environ |= {"GH_ENTERPRISE_TOKEN": "token-of-the-users", "GH_HOST": "other.example"}
        with pytest.raises(EnvironmentFault) as refused:
            stage.plan()
        assert refused.value.code == "no_credentials", refused.value
        stage.environ["GH_HOST"] = authority
        stage.push()
    assert there(server) == stage.tip()
    assert not stored.exists()


def test_the_users_own_configuration_rewrites_an_address(
    stage: PushScenario, server: GitServer, own_git: Callable[..., None]
) -> None:
    git(stage.repo, "remote", "set-url", "origin", "work:origin.git")
    own_git((f"url.{server.address}.pushInsteadOf", "work:"))
    assert stage.plan().address == f"{server.address}origin.git"
    stage.push()
    assert there(server) == stage.tip()


def test_ssh_is_the_users_own_with_the_agent_of_who_calls(
    stage: PushScenario, tmp_path: Path, own_git: Callable[..., None]
) -> None:
    """N10: git's own protocol over a pipe, as ssh would carry it."""
    remote = bare(tmp_path / "over-ssh.git")
    program = tmp_path / "ssh"
    program.write_text(
        f'#!/bin/sh\necho "$SSH_AUTH_SOCK|$*" >> {tmp_path / "seen"}\n'
        'for last; do :; done\nexec sh -c "$last"\n'
    )
    program.chmod(0o755)
    git(stage.repo, "remote", "add", "origin", f"git@forge.example:{remote}")
    git(stage.repo, "config", "core.sshCommand", "/the/repositorys/own")
    own_git(("core.sshCommand", str(program)), ("ssh.variant", "ssh"))
    stage.environ["SSH_AUTH_SOCK"] = "/run/user/agent.sock"
    assert stage.push().plan.address == f"git@forge.example:{remote}"
    assert git(remote, "rev-parse", BRANCH) == stage.tip()
    seen = (tmp_path / "seen").read_text().splitlines()
    assert all(line.startswith("/run/user/agent.sock|") for line in seen)
    assert "git-receive-pack" in seen[-1]


def test_ssh_without_a_key_says_what_git_needs(
    stage: PushScenario, tmp_path: Path, own_git: Callable[..., None]
) -> None:
    program = tmp_path / "ssh"
    program.write_text(
        "#!/bin/sh\necho 'git@forge: Permission denied (publickey).' >&2\nexit 255\n"
    )
    program.chmod(0o755)
    git(stage.repo, "remote", "add", "origin", "git@forge.example:x.git")
    own_git(("core.sshCommand", str(program)), ("ssh.variant", "ssh"))
    with pytest.raises(EnvironmentFault) as refused:
        stage.plan()
    assert refused.value.code == "no_credentials"


# Remotes


@pytest.mark.parametrize(
    ("status", "code"), [(403, "no_rights"), (404, "remote_missing"), (503, "remote_unreachable")]
)
def test_what_http_says_is_named(
    stage: PushScenario, server: GitServer, status: int, code: str
) -> None:
    server.refuse = {"git-receive-pack": (status, "no")}
    with pytest.raises(RoverError) as refused:
        stage.push()
    assert refused.value.code == code
    assert stage.task.status is TaskStatus.COMPLETED


def test_a_remote_that_nobody_serves_is_unreachable(stage: PushScenario) -> None:
    git(stage.repo, "remote", "add", "origin", "http://127.0.0.1:9/x.git")
    with pytest.raises(EnvironmentFault) as refused:
        stage.plan()
    assert refused.value.code == "remote_unreachable"


def test_a_remote_by_ssh_that_nobody_serves_is_unreachable(stage: PushScenario) -> None:
    git(stage.repo, "remote", "add", "origin", "ssh://git@127.0.0.1:9/x.git")
    with pytest.raises(EnvironmentFault) as refused:
        stage.plan()
    assert refused.value.code == "remote_unreachable"


def test_a_repository_that_has_moved_is_a_stale_remote(
    stage: PushScenario, server: GitServer
) -> None:
    git(stage.repo, "remote", "set-url", "origin", f"{server.address}gone.git")
    with pytest.raises(UserFixable) as refused:
        stage.plan()
    assert refused.value.code == "remote_missing"
    assert "set-url" in (refused.value.hint or "")


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("ext::sh -c 'touch ran'", "odd_remote"),
        ("-oProxyCommand=touch", "odd_remote"),
        ("ftp://example.org/x.git", "odd_remote"),
        ("https://[bad/x.git", "odd_remote"),
    ],
)
def test_an_address_that_could_run_a_program_is_refused(
    stage: PushScenario, address: str, code: str
) -> None:
    git(stage.repo, "config", "remote.origin.url", address)
    with pytest.raises(UserFixable) as refused:
        stage.plan()
    assert refused.value.code == code


def test_a_remote_that_is_not_there_is_answered_with_those_that_are(
    stage: PushScenario, server: GitServer
) -> None:
    with pytest.raises(NotFound, match="upstream") as refused:
        stage.plan(remote="upstream")
    assert "origin" in (refused.value.hint or "")


def test_a_repository_without_a_remote_is_told_how_to_get_one(stage: PushScenario) -> None:
    with pytest.raises(UserFixable, match="no remote"):
        stage.plan()


def test_the_push_remote_of_the_base_branch_is_the_default(
    stage: PushScenario, server: GitServer, tmp_path: Path
) -> None:
    bare(server.root / "fork.git")
    git(stage.repo, "remote", "add", "fork", f"{server.address}fork.git")
    git(stage.repo, "remote", "add", "third", f"{server.address}third.git")
    assert stage.plan().remote == "origin"
    git(stage.repo, "config", "branch.main.pushRemote", "fork")
    assert stage.plan().remote == "fork"
    assert stage.plan(remote="origin").remote == "origin"


def test_a_folder_as_remote_has_to_be_accepted_for_git_runs_its_hooks(
    stage: PushScenario, tmp_path: Path
) -> None:
    """N10."""
    remote = bare(tmp_path / "remote.git")
    pre_receive(remote, f"touch {tmp_path / 'ran'}")
    git(stage.repo, "remote", "add", "origin", "../remote.git")
    with pytest.raises(UserFixable) as refused:
        stage.push()
    assert refused.value.code == "local_remote"
    assert not (tmp_path / "ran").exists()
    stage.push(accept=[str(remote)])
    assert git(remote, "rev-parse", BRANCH) == stage.tip()


def test_rovers_own_hub_is_no_remote(stage: PushScenario) -> None:
    hub = project_folder(stage.home, "p1") / "hub.git"
    git(stage.repo, "remote", "add", "origin", str(hub))
    with pytest.raises(UserFixable) as refused:
        stage.push(accept=[str(hub)])
    assert refused.value.code == "odd_remote"


# What leaves with a push, and what a push would leave behind


def test_a_secret_in_what_leaves_stops_the_push(stage: PushScenario, server: GitServer) -> None:
    """N12: also one that a later commit has removed."""
    token = "ghp_" + "0aZ9bY8cX7dW6eV5fU4gT3hS2iR1jQ0kP9lO"
    stage.commit("settings.py", f"TOKEN = '{token}'\n")
    stage.commit("settings.py", "TOKEN = ''\n")
    for ask in (stage.plan, stage.push):
        with pytest.raises(UserFixable, match=r"settings\.py") as refused:
            ask()
        assert refused.value.code == "secrets"
        assert token not in str(refused.value)
    assert there(server) == ""


def test_a_secret_that_the_remote_has_already_stops_nothing(
    stage: PushScenario, server: GitServer
) -> None:
    """N12."""
    stage.commit("settings.py", "TOKEN = 'ghp_" + "0aZ9bY8cX7dW6eV5fU4gT3hS2iR1jQ0kP9lO'\n")
    git(stage.repo, "push", "-q", "origin", f"{BRANCH}:{BRANCH}")
    stage.commit("b.txt")
    stage.push()
    assert there(server) == stage.tip()


def test_ci_files_have_to_be_accepted_by_name(stage: PushScenario, server: GitServer) -> None:
    """N11: the server obeys them at once, with its own secrets."""
    stage.commit(".github/workflows/ci.yml", "on: push\n")
    stage.commit("Makefile", "all:\n")
    with pytest.raises(UserFixable, match=r"ci\.yml") as refused:
        stage.push()
    assert refused.value.code == "hand_off_files"
    assert "Makefile" not in refused.value.message
    stage.push(accept=[".github/workflows/"])
    assert there(server) == stage.tip()


def test_files_of_git_lfs_have_to_be_pushed_with_git(
    stage: PushScenario, server: GitServer
) -> None:
    """N10."""
    stage.commit(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
    stage.commit("big.bin", "version https://git-lfs.github.com/spec/v1\n")
    (stage.repo / ".git/hooks").mkdir(exist_ok=True)
    hook = stage.repo / ".git/hooks/pre-push"
    hook.write_text(
        '#!/bin/sh\ncommand -v git-lfs >/dev/null 2>&1 || { exit 2; }\ngit lfs pre-push "$@"\n'
    )
    hook.chmod(0o755)
    with pytest.raises(UserFixable, match=r"big\.bin") as refused:
        stage.push()
    assert refused.value.code == "lfs"
    stage.push(accept=["git-lfs"])
    assert there(server) == stage.tip()


def test_a_submodule_whose_commit_is_nowhere_is_named(
    stage: PushScenario, server: GitServer, tmp_path: Path
) -> None:
    """N10."""
    library = bare(tmp_path / "library.git", stage.repo)
    git(stage.repo, "switch", "-q", BRANCH)
    git(stage.repo, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(library),
        "vendor/library")  # fmt: skip
    inner = stage.repo / "vendor/library"
    git(inner, "commit", "-q", "--allow-empty", "-m", "not pushed")
    git(stage.repo, "add", "-A")
    git(stage.repo, "commit", "-qm", "a submodule")
    with pytest.raises(UserFixable, match="vendor/library") as refused:
        stage.push()
    assert refused.value.code == "submodule_not_pushed"
    git(inner, "push", "-q", "origin", "HEAD:topic")
    stage.push()
    assert there(server) == stage.tip()


# Kills

PUSH = """
import sys
from pathlib import Path
from tests.integration.git.test_push import reopened
stage = reopened(Path(sys.argv[1]), Path(sys.argv[2]))
stage.push()
"""


def reopened(repo: Path, home: Path) -> PushScenario:
    return PushScenario(repo, home, Store(open_database(database_url(home, None))))


def killed(stage: PushScenario, environment: Mapping[str, str]) -> None:
    argv = [sys.executable, "-c", PUSH, str(stage.repo), str(stage.home)]
    done = subprocess.run(argv, cwd=ROOT, env={**os.environ, **environment}, check=False)
    assert done.returncode == -signal.SIGKILL


P = OperationPoint


@pytest.mark.parametrize(
    ("point", "arrived"),
    [(P.RECORDED, False), (P.REFERENCE_MOVED, True), (P.CARRIED_OUT, True),
     (P.STATUS_CHANGED, True)],
)  # fmt: skip
def test_a_push_that_is_killed_is_done_or_as_before(
    stage: PushScenario, server: GitServer, point: P, arrived: bool
) -> None:
    """N8: and a second call finishes it."""
    killed(stage, {VARIABLE: str(point)})
    assert (there(server) == stage.tip()) is arrived
    after = reopened(stage.repo, stage.home)
    shown = after.plan()
    assert shown.way is (PushKind.NOTHING if arrived else PushKind.CREATE)
    assert after.task.status is (TaskStatus.PUSHED if arrived else TaskStatus.COMPLETED)
    after.push()
    assert (there(server), after.task.status) == (stage.tip(), TaskStatus.PUSHED)
    assert not list(stage.home.glob("push-*"))
    rows = after.store.operations("roverd").of_task(TASK)
    assert [row.state for row in rows] == (["done"] if arrived else ["undone", "done"])


def test_a_push_whose_caller_is_killed_meanwhile_is_found_done(
    stage: PushScenario, server: GitServer, tmp_path: Path
) -> None:
    """N8: git outlives the daemon; how it ended is looked at once it has."""
    pid = tmp_path / "pid"
    pre_receive(
        origin(server),
        f"kill -9 $(cat {pid})",
        f"while kill -0 $(cat {pid}) 2>/dev/null; do :; done",
    )
    script = f"import os; open({str(pid)!r}, 'w').write(str(os.getpid()))\n{PUSH}"
    argv = [sys.executable, "-c", script, str(stage.repo), str(stage.home)]
    with subprocess.Popen(argv, cwd=ROOT) as process:
        assert process.wait() == -signal.SIGKILL
    after = reopened(stage.repo, stage.home)
    assert after.plan().way is PushKind.NOTHING
    assert after.task.status is TaskStatus.PUSHED
    assert there(server) == stage.tip()


def test_a_cut_off_push_whose_remote_is_away_stays_open_until_it_is_back(
    stage: PushScenario, server: GitServer
) -> None:
    """N8."""
    killed(stage, {VARIABLE: str(P.CARRIED_OUT)})
    after = reopened(stage.repo, stage.home)
    server.refuse = {"git-upload-pack": (503, "away")}
    after.task_push.log.settle()
    assert after.task.status is TaskStatus.COMPLETED
    server.refuse = {}
    after.task_push.log.settle()
    assert after.task.status is TaskStatus.PUSHED
