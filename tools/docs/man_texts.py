"""What the man pages say beyond the parser's help. In it `this` is to be typed."""

from __future__ import annotations

from typing import Final

INTRODUCTION: Final = """
Rover runs long coding tasks with background agents. Each task works in a sandbox, on a branch of
its own, and is checkpointed after each step. When an account has no credits or its usage window
is closed, the task pauses and continues later; nothing of it is lost. What comes out is a branch
in your repository, for you to review and merge.

`rover` is the command for terminals and scripts. Assistants do the same over MCP, by way of
`rover-mcp`. Both talk to a daemon, which the first command that needs it starts.

TASK is a task's number in the project of the working folder, its id or the first eight digits of
that, or its branch. Options have to be written in full. Begin with `rover doctor`, then `rover
demo`.
"""

COMMANDS: Final = {
    "demo": """
        Runs a whole task, with a pause and a resumption, in a temporary folder. It needs no key
        and no account, since its agent plays a script.
    """,
    "doctor": """
        Checks what a task needs: Python, git, the data folder, a sandbox and an agent that is
        signed in. What is missing is marked, with what to do about it. It changes nothing, unless
        --repair is given.
    """,
    "create": """
        Creates a task from a description and returns at once; the task runs in the background. It
        starts from the last commit of the repository, in a work tree of its own, so your files
        stay as they are. The first line of the description becomes its title.

        `--after` has it wait until another task is completed; `--base-branch task:3` does so, too,
        and starts from what that task delivered.

        `--watch` stays until the task completes, fails or pauses. `--dry-run` shows the steps,
        and creates nothing.
    """,
    "list": """
        Lists the tasks of the repository of the working folder, newest first, with status, agent,
        cost and title. Of a paused task it shows why, and when it continues. Outside of any
        repository, and with `--all`, it lists the tasks of all repositories.

        `--format` prints one line for each task, as scripts like it. Fields stand in braces and
        may have a format of Python's behind a colon, as in `{title:<30.30}`; a name that is not
        known is an error that lists all fields. `\\t` and `\\n` are a tab and a line break.
        Everything else that is known of the tasks is in `--json`.
    """,
    "inspect": """
        Shows one task: its status and progress, each step, its pause, what it used and cost, and
        what to do next. `--format` prints single fields: see rover-list(1).
    """,
    "report": """
        Writes a page about a task to one file, which opens in a browser without a script and
        loads nothing: its result, changes, checks, cost and waiting, then its timeline, diff and
        logs. Secrets that Rover knows are hidden. Without `--out` the file is in a temporary
        folder, and its path is printed; with `--json`, the same is printed as data.
    """,
    "watch": """
        Shows the steps of a task as they happen, until it completes, fails or pauses.
        Interrupting it leaves the task running.
    """,
    "wait": """
        Waits until one of the tasks pauses or ends, and says so in one line. It is meant for
        scripts.
    """,
    "resume": """
        Continues paused, failed or cancelled tasks from their last checkpoint. Finished steps do
        not run again. Another agent or another model may continue with the same work.
    """,
    "auto-resume": """
        Switches whether paused tasks continue by themselves once their account may be used again:
        for one task, for a project, or for all tasks, present and to come.
    """,
    "pause": """
        Stops tasks at a checkpoint. They continue with rover-resume(1), and not by themselves.
    """,
    "history": """
        Lists the snapshots that were taken of a task's work tree: at the start, after each step, at
        a pause and at the end, each with what it changed. With SNAPSHOT, such as `s4`, shows that
        one's diff against the one before it.
    """,
    "fork": """
        Creates a task from a snapshot of another one (by default the newest), with the same
        settings and a branch of its own. Without INSTRUCTIONS it does what was left to do there,
        and steps that were finished are not repeated; with them it runs the workflow for these.
        Claude Code continues in a copy of its conversation if the engine is bubblewrap.
    """,
    "race": """
        Compares the tasks of a race, which do the same work: what the project's checks said, how
        much each changed and how many of its files another one changed too, cost, tokens, and how
        long each worked and waited. TASK is any of them. A task that waits for its account pauses
        its part of the race, and decides nothing.
    """,
    "choose": """
        Keeps one completed task of a race and puts the others into the trash, from which
        rover-undelete(1) gives them back for 14 days. Without `--yes` it only says what would
        happen. A task that is still at work has to be cancelled first. If the daemon dies
        meanwhile, the choice is made, or everything is as before.
    """,
    "rewind": """
        Starts a new iteration of a task that has ended from one of its snapshots, with new
        instructions. What came later is not lost: the branch keeps its commits, and the new work
        comes on top of them, so that `rover rewind` to a later snapshot brings it back.
    """,
    "iterate": """
        Gives a task that has ended new instructions, or comments on lines of its diff. It runs its
        workflow again, on the same branch and in the agents' own conversations. The earlier result
        stays in its branch's history and in its snapshots.
    """,
    "review": """
        Opens the diff of a task that has ended in your editor: `$VISUAL`, `$EDITOR`, or
        `core.editor` of your own git configuration, never of the repository's. Each line of the
        diff begins with `>`; what you write between the lines is a comment on the line above it,
        beneath a file's name on that file, and above the diff on all of it. Comments become the
        instructions of the task's next iteration, as rover-iterate(1) gives them. If you change
        nothing, or the editor fails, nothing is sent. If the review cannot be sent, for example
        because a line of the diff was changed, the error names the file that has your text.

        `--print` writes the same text to standard output, and `--file` sends one that was written
        elsewhere.
    """,
    "restart": """
        Starts failed tasks over, from the commit that they began with. What they have done so far
        is not used.
    """,
    "cancel": """
        Ends tasks. Their work is kept, and rover-resume(1) continues them.
    """,
    "rebase": """
        Replays the commits of a completed task's branch on the branch that it was made from, as
        that is now, or with `--onto` on another one. From then on that is the task's base: for its
        diff, for further iterations and for a merge. Without `--yes` it only says what would
        happen. If the base and a commit changed the same places, the commit and the files are
        named, and nothing is changed.
    """,
    "merge": """
        Merges the branch of a completed task into one of yours: as a merge commit, with
        `--squash` as one commit, with `--ff` as a fast-forward. Without `--yes` it only says what
        would happen. A work tree that has your branch checked out has to be clean, and is
        updated; otherwise no file changes. The message of the commit is by the task's agent, or
        else made from its title; `-m` replaces it, and `--edit` opens it in your editor. Files that
        programs on your machine run without asking, and hooks of git that are not run, have to be
        named with `--accept`.
    """,
    "push": """
        Pushes the branch of a completed task to a remote of the repository, in your name and with
        your own sign-in. Without `--yes` it only says what would happen. A commit that is not the
        task's is never overwritten. Files that the server's CI runs, hooks of git that are not run,
        and whatever a push would leave behind have to be named with `--accept`.
    """,
    "checkout": """
        Checks the branch of a task that has ended out: in a new work tree, by default beside the
        repository, or with `--here` in the work tree that you are in, which has to be clean.
        Without `--yes` it only says what would happen. Files that programs on your machine run
        without asking have to be named with `--accept`. Neither hooks nor filters of the
        repository run.
    """,
    "open": """
        Opens the branch of a task that has ended in your editor (`$VISUAL`, `$EDITOR`), in the work
        tree that has it checked out, or else in a new one, as rover-checkout(1) makes it.
        Editors run tasks and read settings of a folder that they open, so such files have to be
        named with `--accept`.
    """,
    "shell": """
        Opens a shell in a sandbox of its own, on a copy of the task's last snapshot, whatever the
        task's status. It has the task's image, limits and network, but no key, no copied file and
        an empty HOME. What you change there goes when the shell ends; the task is not changed.
        A command behind `--` runs in place of the shell. The exit status is the shell's or the
        command's. If standard input or output is not a terminal, the command gets none.
    """,
    "delete": """
        Puts tasks into the trash, with their work trees, logs and records. Without `--yes` it only
        says what would be lost, and where else it is. Branches that were published in your
        repository stay, or with `--branch` go into the trash, too; one that is checked out, or has
        commits of others that are nowhere else, is never deleted.
        For 14 days (`trash_days` in config.yaml) `rover undelete` gives a task
        back; then it is gone for good.
    """,
    "undelete": """
        Gives tasks back that are in the trash, with their numbers, logs, snapshots and
        conversations. A task that was paused when it was deleted comes back as CANCELLED:
        `rover iterate` or `rover resume` continues it.
    """,
    "gc": """
        Shows what of the data folder and of the engines could go, by kind, with its size:
        sandboxes that wait for a next task, images that no task needs, packages kept for projects,
        work trees and second copies of snapshots of finished tasks, the trash, and folders of
        tasks without a record. With `--yes` it frees all but the last two, which may hold work
        that exists nowhere else and go only if they are named. Nothing of a task that runs or is
        paused goes.
    """,
    "trash": """
        Lists the tasks of all projects that were deleted and can be given back, and until when.
    """,
    "prune": """
        Deletes the tasks whose work is done and whose branches are in your repository. Without
        `--yes` it only lists them.
    """,
    "logs": """
        Prints what a step of the task printed, by default the step that wrote last.
    """,
    "diff": """
        Shows what a task changed against the commit that it began with, untracked files included.
        Files that programs on your machine would run or obey come first. At a terminal the pager
        is `$ROVER_PAGER`, `$PAGER` or less(1).

        `--patch` prints everything byte for byte, as git-apply(1) takes it.
    """,
    "workflows": """
        Lists the workflows that a task of the repository may use, with their steps and inputs:
        those of the project, in .rover/workflows, your own, in the data folder, and the built-in
        ones.
    """,
    "workflow": """
        A workflow is a YAML file that names the steps of a task. These commands check such files,
        print them, and write new ones for you to change.
    """,
    "init": """
        Looks at a repository and writes a .rover/config.yaml for it, with its test command,
        setup and network needs as far as they can be recognised.
    """,
    "trust": """
        A repository may ask for more than your defaults allow, such as an image, a setup command
        or open network. Nothing of it counts before you have seen it and agreed. This shows it
        and asks.
    """,
    "forget": """
        Removes all that is kept of a project: its tasks, copies of its repository, images and
        settings. The repository itself is not touched. It first says what exists nowhere else,
        and asks.
    """,
    "config": """
        Checks and shows the settings of a project, in .rover/config.yaml, and checks your own, in
        config.yaml of the data folder.
    """,
    "image": """
        Tasks that run in docker or podman use images with the project's tools and setup. These
        commands build one ahead of time, list those that exist, and remove those that no task
        needs.
    """,
    "hooks": """
        Hooks of config.yaml are notified when a task pauses or ends: the desktop, a webhook or a
        command. These commands list and test them, and show deliveries that were given up.
    """,
    "token": """
        Makes and revokes the tokens of users who connect over HTTP, to `rover-mcp --http`. A
        token is printed once and cannot be shown again.
    """,
    "login": """
        Keeps a provider's API key in the system's keyring, or in a file that only you can read
        where there is none. Tasks use it when no client is connected. The key is asked for
        without being shown, or read from standard input.
    """,
    "logout": """
        Removes a key that rover-login(1) keeps.
    """,
    "service": """
        Has Rover started when you log in or the machine starts, so that paused tasks continue
        after a reboot. It uses systemd(1) or launchd, and needs no root.
    """,
    "setup": """
        Finds the assistants of this machine and adds Rover to their lists of MCP servers. It only
        shows what it would do, unless `--write` is given; each file that it changes is kept
        beside the new one.
    """,
    "completion": """
        Prints a script with which a shell completes commands, options, tasks, workflows, agents
        and statuses.
    """,
    "backup": """
        Writes what the data folder keeps of your tasks into one file. Tasks may run meanwhile.
    """,
    "restore": """
        Puts a backup in place of the data folder. The old folder is kept beside it. No daemon may
        run.
    """,
    "explain": """
        Reads an error of a provider or an agent and says what it means to a task: why it pauses
        or fails, which rule decides that, and when it is tried again.
    """,
    "status-line": """
        Prints how many tasks run and are paused, and nothing where there are none. It is made for
        the status lines of assistants and shells: it starts no daemon and answers within moments.
    """,
    "session-start": """
        Prints what paused or ended, in the form that the session hooks of assistants expect. It
        starts no daemon.
    """,
    "status": """
        Shows the engines, agents and accounts that there are, how many tasks run and wait, and
        what they take on the disk. `--format` prints single fields: see rover-list(1).
    """,
    "board": """
        Serves a page on 127.0.0.1 that shows which tasks need you, which failed, finished, work or
        wait, and changes as they do. Its buttons resume, pause and merge tasks and give them new
        instructions. The address that it prints has a token in it, which is worth nothing once the
        command has ended with Ctrl-C.
    """,
    "usage": """
        Shows what the tasks of all projects used: tokens, and the cost where a price is known.
        Below that stands how long they waited, for which account and why, and what unfinished
        tasks have used of their budgets. Deleted tasks count. Days are those of your time zone.
    """,
    "daemon": """
        The daemon runs the tasks. It starts with the first command that needs it and ends when it
        has had nothing to do for `idle_exit` of config.yaml.
    """,
    "help": """
        Shows how a command is used, as its `--help` does.
    """,
    "version": """
        Prints the version, as `--version` does.
    """,
}

_OF_TASK: Final = {
    "1": "The task failed or was cancelled, or an error occurred, which stderr names.",
    "2": "The task is paused.",
    "130": "Interrupted; the task continues.",
}
EXIT: Final = {"64": "It was called in a wrong way."}
EXIT_OF: Final[dict[str, dict[str, str]]] = {
    "create": _OF_TASK,
    "resume": _OF_TASK,
    "watch": _OF_TASK,
    "wait": {**_OF_TASK, "3": "With --any: no task runs."},
    "daemon": {"3": "No daemon runs."},
}

ENVIRONMENT: Final = {
    "ROVER_HOME": "The data folder.",
    "ROVER_PAGER, PAGER": "Shows the output of rover-diff(1) at a terminal.",
    "NO_COLOR": "Set to anything, it switches colours off.",
}
FILES: Final = {
    "~/.local/share/rover": "The data folder, where neither --home nor ROVER_HOME names another.",
    "config.yaml": "In the data folder: your settings.",
    ".rover/config.yaml": "In a repository: the settings of the project.",
    ".rover/workflows": "In a repository: its workflows.",
}
