"""Where limits can be had on the host, and what is written there."""

from __future__ import annotations

from pathlib import Path

from rover_mcp.domain.resource_limits import ResourceLimits
from rover_mcp.sandbox import cgroups
from rover_mcp.sandbox.cgroups import CgroupParents, Group

LIMITS = ResourceLimits(memory_bytes=1000, cpus=1.5, pids=7)
V1 = (
    "30 1 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "31 1 0:27 /box /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
    "32 1 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
)
OWN = "4:memory:/a/b\n3:cpu,cpuacct:/box/c\n0::/user/app\n"


def test_a_hybrid_takes_each_controller_from_where_it_is() -> None:
    found = cgroups.places(V1, OWN)
    assert found["memory"] == CgroupParents(1, [Path("/sys/fs/cgroup/memory/a/b")])
    assert found["cpu"] == CgroupParents(1, [Path("/sys/fs/cgroup/cpu/c")])
    unified = Path("/sys/fs/cgroup/unified")
    assert found["pids"] == CgroupParents(2, [unified / "user/app", unified / "user", unified])


def test_version_2_takes_the_nearest_that_hands_the_controllers_on(tmp_path: Path) -> None:
    """A process's own group cannot: it holds processes."""
    mine, above = tmp_path / "app" / "mine", tmp_path / "app"
    mine.mkdir(parents=True)
    (mine / "cgroup.subtree_control").write_text("")
    (above / "cgroup.subtree_control").write_text("memory pids\n")
    (tmp_path / "cgroup.subtree_control").write_text("")
    place = CgroupParents(2, [mine, above, tmp_path])
    group = cgroups.make("x", LIMITS, {"memory": place, "pids": place, "cpu": place})
    assert group == Group([str(above / "x")], ["memory", "processes"])
    assert group.not_applied == ["cpu"]
    assert (above / "x" / "memory.max").read_text() == "1000"
    assert (above / "x" / "pids.max").read_text() == "7"


def test_the_files_of_version_1(tmp_path: Path) -> None:
    for name in ("memory", "cpu", "pids"):
        (tmp_path / name).mkdir()
    known = {name: CgroupParents(1, [tmp_path / name]) for name in ("memory", "cpu", "pids")}
    group = cgroups.make("x", LIMITS, known)
    assert group.not_applied == []
    assert (tmp_path / "memory" / "x" / "memory.limit_in_bytes").read_text() == "1000"
    assert (tmp_path / "cpu" / "x" / "cpu.cfs_quota_us").read_text() == "150000"
    assert (tmp_path / "pids" / "x" / "cgroup.procs").read_text().strip().isdecimal()


def test_where_none_can_be_made_every_limit_is_named(tmp_path: Path) -> None:
    group = cgroups.make("x", LIMITS, {"memory": CgroupParents(1, [tmp_path / "none"])})
    assert group.not_applied == ["memory", "cpu", "processes"]
    assert group.enter() == []


def test_a_kill_for_memory_is_seen_in_both_versions(tmp_path: Path) -> None:
    """L1."""
    (tmp_path / "memory.events").write_text("low 0\noom 1\noom_kill 0\n")
    assert not cgroups.ran_out_of_memory([str(tmp_path)])
    (tmp_path / "memory.oom_control").write_text("oom_kill_disable 0\noom_kill 2\n")
    assert cgroups.ran_out_of_memory([str(tmp_path)])
    assert not cgroups.ran_out_of_memory([str(tmp_path / "none")])
