"""Every class of attacks that is played inside a sandbox."""

from __future__ import annotations

from tests.attacks.attack import Attack, AttackClass
from tests.attacks.classes import bench, credentials, files, hardening, journal, network, root

INSIDE: tuple[AttackClass, ...] = (
    files.CLASS,
    credentials.CLASS,
    journal.CLASS,
    root.CLASS,
    hardening.CLASS,
    network.CLASS,
    bench.CLASS,
)


def all_attacks() -> list[tuple[AttackClass, Attack]]:
    return [(kind, attack) for kind in INSIDE for attack in kind.attacks]
