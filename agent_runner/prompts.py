"""What an agent is told beside the step's own prompt."""

from __future__ import annotations

from collections.abc import Sequence

_RESUME = """\
You were working on the step below and were stopped before it was finished: {why}

Go on with it now. Do not start over, and do not take anything for done because you remember it:
1. Look at the work tree first (git status, git diff, the files themselves). It holds what you had \
done, and may differ from what you remember.
2. Compare it with the instructions below, point by point.
3. Do everything that is still missing, with the same care as if you had not been stopped, and \
check what you had finished.
{done}
The instructions of this step, in full:

{prompt}"""

_DONE = "\nSteps of the workflow that are finished and need nothing more: {steps}.\n"


def resume_prompt(prompt: str, why: str, done: Sequence[str]) -> str:
    """The prompt for a session that goes on in the middle of a step (F8)."""
    finished = _DONE.format(steps=", ".join(done)) if done else ""
    return _RESUME.format(why=why, done=finished, prompt=prompt)


def commit_message(title: str, number: int, iteration: int) -> str:
    """The message of the commit that holds what nobody has committed."""
    subject = " ".join(title.split())[:72] or f"Task {number}"
    part = f", iteration {iteration}" if iteration > 1 else ""
    return f"{subject}\n\nMade by Rover, task {number}{part}.\n"
