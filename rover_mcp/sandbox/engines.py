"""Which engine runs a task: the one asked for, else the first that works.

`auto` takes docker, else podman, only where a sandbox can be made without a registry, that is where
its base image is present: whether a registry can be reached is not known without trying, and a
first task must not fail on it while bubblewrap works. `engine: docker` pulls the image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rover_mcp.config.settings import Settings
from rover_mcp.domain.errors import EnvironmentFault, UserFixable
from rover_mcp.sandbox.bubblewrap import BubblewrapEngine
from rover_mcp.sandbox.docker import DockerEngine
from rover_mcp.sandbox.podman import PodmanEngine
from rover_mcp.sandbox.process_engine import ProcessEngine
from rover_mcp.sandbox.protocol import Engine


def engines(home: Path, settings: Settings) -> dict[str, Engine]:
    """Every engine of a data folder, the preferred one first. Nothing is started or asked."""
    docker = DockerEngine(home, base_image=settings.base_image)
    podman = PodmanEngine(home, base_image=settings.base_image)
    bubblewrap = BubblewrapEngine(home, toolchains=settings.toolchains or ())
    return {engine.name: engine for engine in (docker, podman, bubblewrap, ProcessEngine(home))}


def select_engine(engines: Mapping[str, Engine], wanted: str = "auto") -> Engine:
    """The engine named, or with "auto" the first that works.

    Raises:
        UserFixable: there is no engine of that name ("unknown_engine").
        EnvironmentFault: it, or each of them, cannot be used; says why, and which can be
            ("no_engine").
    """
    if wanted != "auto" and wanted not in engines:
        known = ", ".join(["auto", *engines])
        raise UserFixable(
            f"there is no engine {wanted!r}", hint=f"engines: {known}", code="unknown_engine"
        )
    refused: list[str] = []
    hints: list[str] = []
    automatic = [engine for engine in engines.values() if not engine.warning]
    for engine in automatic if wanted == "auto" else [engines[wanted]]:
        reason, hint = _refusal(engine, automatic=wanted == "auto")
        if reason is None:
            return engine
        refused.append(f"{engine.name}: {reason}")
        hints += [f"{engine.name}: {hint}"] if hint else []
    if works := [] if wanted == "auto" else _working(automatic):
        raise EnvironmentFault(
            f"this engine does not work here. {refused[0]}",
            hint=f"{', '.join(works)} works here; " + "; ".join(hints),
            code="no_engine",
            instead={"engine": works[0]},
        )
    raise EnvironmentFault(
        "no sandbox engine works on this machine. " + "; ".join(refused),
        hint="; ".join(hints) or "install Docker, podman or bubblewrap",
        code="no_engine",
    )


def _working(engines: Sequence[Engine]) -> list[str]:
    """Those that could be taken in its place."""
    return [e.name for e in engines if _refusal(e, automatic=True)[0] is None]


def _refusal(engine: Engine, *, automatic: bool) -> tuple[str | None, str]:
    status = engine.check()
    if not status.available:
        return status.reason or "it does not work", status.hint
    if automatic and isinstance(engine, DockerEngine) and not engine.base_image_present():
        return (
            f"it answers, but the base image {engine.base_image} is not here",
            f"run: {engine.name} pull {engine.base_image}, "
            f"or set engine: {engine.name} in config.yaml",
        )
    return None, ""
