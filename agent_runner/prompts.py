"""What an agent is told beside the step's own prompt."""

from __future__ import annotations

from collections.abc import Sequence

_RESUME = """\
{begin}

1. Look at the work tree first: git status, git log, git diff, the files themselves. {holds}
2. Compare it, point by point, with the instructions below. Take nothing for done that you have \
not seen there.
3. Do everything that is still missing, with the same care as if nothing had happened, and check \
what was finished. Do not start over.
{facts}
The instructions of this step, in full:

{prompt}"""

_GO_ON = "You were working on the step below and were stopped before it was finished: {why}"
_REMEMBERED = "They may differ from what you remember."

_TAKE_OVER = """\
{earlier} worked on the step below and was stopped before it was finished: {why}
You take over. Nothing of that conversation is left; what was done is in the work tree."""
_NOT_REMEMBERED = "Keep what is good of it."

_DONE = "Steps of the workflow that are finished and need nothing more: {steps}."
_LOOPS = "This step is repeated; it is now in {loops}. Earlier iterations are finished."


def resume_prompt(
    prompt: str,
    why: str,
    done: Sequence[str],
    *,
    loops: Sequence[tuple[str, int]] = (),
    earlier: str | None = None,
) -> str:
    """The prompt for an agent that goes on in the middle of a step (F8).

    `done` are the finished steps; `loops` the loops around the step with their iterations,
    outermost first. `earlier` says who worked on it, where that was another session.
    """
    facts: list[str] = []
    if loops:
        named = ", ".join(f"iteration {number} of {loop}" for loop, number in loops)
        facts.append(_LOOPS.format(loops=named))
    if done:
        facts.append(_DONE.format(steps=", ".join(done)))
    begin = _TAKE_OVER if earlier else _GO_ON
    return _RESUME.format(
        begin=begin.format(why=why, earlier=earlier),
        holds=_NOT_REMEMBERED if earlier else _REMEMBERED,
        facts="".join(f"\n{fact}\n" for fact in facts),
        prompt=prompt,
    )


def commit_message(title: str, number: int, iteration: int) -> str:
    """The message of the commit that holds what nobody has committed."""
    subject = " ".join(title.split())[:72] or f"Task {number}"
    part = f", iteration {iteration}" if iteration > 1 else ""
    return f"{subject}\n\nMade by Rover, task {number}{part}.\n"
