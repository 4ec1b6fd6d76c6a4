"""Keeps a page below its size: each section has a number of bytes, and takes what fits."""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup


class SectionBudget:
    """What is left of a section's bytes. What does not fit ends the section: small pieces after it
    would look as if nothing had been between."""

    def __init__(self, size: int) -> None:
        self.left = size
        self.is_full = False

    def take(self, html: Markup) -> bool:
        """Whether there was room for a piece, which is then used up."""
        size = len(html.encode(errors="replace"))
        self.is_full = self.is_full or size > self.left
        if not self.is_full:
            self.left -= size
        return not self.is_full

    def fitting(self, pieces: Iterable[Markup]) -> tuple[Markup, int]:
        """The pieces that fit, one after the other, and their number. No further one is made."""
        taken: list[Markup] = []
        for piece in pieces:
            if not self.take(piece):
                break
            taken.append(piece)
        return Markup("").join(taken), len(taken)
