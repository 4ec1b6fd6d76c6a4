"""`python -m tests.scenarios`: play all scenarios and write docs/scenarios.md."""

from __future__ import annotations

from tests.scenarios.page import PAGE, as_markdown, playing


def main() -> None:
    with playing() as played:
        measured = {name: future.result() for name, future in played.items()}
    PAGE.write_text(as_markdown(measured), "utf-8")
    print(PAGE.read_text("utf-8"), end="")


if __name__ == "__main__":
    main()
