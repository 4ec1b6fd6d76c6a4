"""Pictures of pages, compared with those that are stored in tests/data/pictures.

`python -m tests.support.pictures` makes the stored ones and the README's again. Look at them before
you commit them.
"""

from __future__ import annotations

import json
import os
import tempfile
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rover_mcp.report.report_page import NextCommand, report_html
from tests.support.browser import Page, chromium
from tests.support.docker_env import cache_folder
from tests.support.sample_reports import usual_report

ROOT: Final = Path(__file__).parents[2]
STORED: Final = ROOT / "tests" / "data" / "pictures"
README_PICTURE: Final = ROOT / "docs" / "pictures" / "report.png"
README_WIDTH: Final = 1200
README_HEIGHT: Final = 700
CHANNEL: Final = 48
"""By how much of 255 a colour may differ: letters are smoothed a little differently by each version
of a browser."""
SHARE: Final = 0.02
"""What part of all pixels may differ by more."""
COMMANDS: Final = [
    NextCommand("rover diff 12", "review what it changed"),
    NextCommand("rover merge 12", "see what merging it would do"),
    NextCommand("rover iterate 12 'TEXT'", "give it new instructions"),
]
_COMPARE: Final = """
(async () => {
  const read = async (data) => {
    const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0));
    const image = await createImageBitmap(new Blob([bytes]));
    const canvas = new OffscreenCanvas(image.width, image.height);
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    return context.getImageData(0, 0, image.width, image.height);
  };
  const [one, two] = [await read(FIRST), await read(SECOND)];
  if (one.width !== two.width || Math.abs(one.height - two.height) > 8)
    return {share: 1, sizes: [one.width, one.height, two.width, two.height]};
  const end = one.width * Math.min(one.height, two.height) * 4;
  let differ = 0;
  for (let i = 0; i < end; i += 4)
    if (Math.max(...[0, 1, 2].map(c => Math.abs(one.data[i + c] - two.data[i + c]))) > LIMIT)
      differ++;
  return {share: differ / (end / 4), sizes: [one.width, one.height, two.width, two.height]};
})()
"""


@dataclass(frozen=True)
class Look:
    """How a page is looked at: its width in pixels and the colour scheme."""

    width: int
    dark: bool

    @property
    def name(self) -> str:
        return f"report-{self.width}-{'dark' if self.dark else 'light'}"


LOOKS: Final = [Look(width, dark) for width in (1400, 400) for dark in (False, True)]


def stored(look: Look) -> Path:
    """The picture with which that of a run is compared."""
    return STORED / f"{look.name}.webp"


def differing_share(page: Page, one: bytes, two: bytes) -> float:
    """The part of the pixels in which two pictures differ; 1 if their sizes do. The browser that
    made the pictures compares them, so that no library is needed to read them."""
    expression = _COMPARE.replace("FIRST", json.dumps(b64encode(one).decode()))
    expression = expression.replace("SECOND", json.dumps(b64encode(two).decode()))
    page.send("Page.navigate", url="about:blank")
    return float(page.evaluate(expression.replace("LIMIT", str(CHANNEL)))["share"])


def keep(name: str, picture: bytes) -> Path:
    """Keep a picture of a run, for whoever wants to look at it: in $ROVER_PICTURES, or beside what
    the tests have fetched."""
    named = os.environ.get("ROVER_PICTURES")
    folder = Path(named) if named else cache_folder() / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(picture)
    return folder / name


def main() -> None:
    with tempfile.TemporaryDirectory() as name, chromium(Path(name)) as browser:
        file = Path(name, "report.html")
        file.write_text(report_html(usual_report(), COMMANDS), encoding="utf-8")
        page = browser.new_page()
        for look in LOOKS:
            page.open(file, look.width, dark=look.dark)
            stored(look).write_bytes(page.picture(small=True))
        README_PICTURE.parent.mkdir(exist_ok=True)
        page.open(file, README_WIDTH)
        README_PICTURE.write_bytes(page.picture(README_HEIGHT))


if __name__ == "__main__":
    main()
