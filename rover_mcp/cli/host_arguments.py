"""The options and arguments of the commands that change the user's own repository."""

from __future__ import annotations

from rover_mcp.cli.task_arguments import add_task

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rover_mcp.cli.command_parser import Parser


def add_merge(sub: Parser) -> None:
    add_task(sub)
    sub.add_argument("--into", metavar="BRANCH", help="default: the branch it was made from")
    form = sub.add_mutually_exclusive_group()
    form.add_argument("--squash", action="store_true", help="as one commit, without its history")
    form.add_argument("--ff", action="store_true", help="move the branch forward, without a commit")
    message = sub.add_mutually_exclusive_group()
    message.add_argument("-m", "--message", metavar="TEXT", help="the commit's message")
    message.add_argument("--edit", action="store_true", help="edit the commit's message first")
    about = "agree to a file that programs run, or to a hook that is not run; may be repeated"
    sub.add_argument("--accept", metavar="NAME", action="append", default=[], help=about)
    about = "delete the task's branch once it is merged"
    sub.add_argument("--delete-branch", action="store_true", help=about)
    sub.add_argument("--yes", action="store_true", help="do it")


def add_push(sub: Parser) -> None:
    add_task(sub)
    sub.add_argument("--remote", metavar="NAME", help="default: its upstream's, or origin")
    sub.add_argument("--branch", metavar="NAME", help="the branch there; default: the task's")
    about = "agree to what would do harm otherwise, as the preview names it; may be repeated"
    sub.add_argument("--accept", metavar="NAME", action="append", default=[], help=about)
    sub.add_argument("--yes", action="store_true", help="do it")


def add_rebase(sub: Parser) -> None:
    add_task(sub)
    sub.add_argument("--onto", metavar="BRANCH", help="default: the branch it was made from")
    about = "have an agent resolve the conflicts, as a task of its own"
    sub.add_argument("--resolve", action="store_true", help=about)
    sub.add_argument("--yes", action="store_true", help="do it")


def add_checkout(sub: Parser) -> None:
    add_open(sub, here=True)


def add_open(sub: Parser, *, here: bool = False) -> None:
    add_task(sub)
    place = sub.add_mutually_exclusive_group()
    about = "the folder of a new work tree; default: beside the repository"
    place.add_argument("--into", metavar="FOLDER", help=about)
    if here:
        place.add_argument(
            "--here", action="store_true", help="switch the work tree that you are in"
        )
    about = "agree to a file that programs on this machine run; may be repeated"
    sub.add_argument("--accept", metavar="NAME", action="append", default=[], help=about)
    sub.add_argument("--yes", action="store_true", help="do it")


def add_shell(sub: Parser) -> None:
    add_task(sub)
    about = "run this command instead of a shell; put it behind --"
    sub.add_argument("command", metavar="COMMAND", nargs="*", default=[], help=about)
