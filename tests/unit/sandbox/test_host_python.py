"""Which parts of a Python outside the system a bubblewrap sandbox gets (U4)."""

from __future__ import annotations

from pathlib import Path

from rover_mcp.sandbox.host_python import PythonParts, arrange, host_python
from rover_mcp.sandbox.python_bundle import TARGET, version_folder

PREFIX = Path("/home/u/.local")
OUTSIDE = PythonParts(
    PREFIX / "bin/python3.11",
    system=False,
    library=PREFIX / "lib/python3.11",
    libraries={"libpython3.11.so.1.0": PREFIX / "lib/libpython3.11.so.1.0"},
    packages=["site-packages"],
    loader=Path("/lib64/ld-linux-x86-64.so.2"),
    stands_alone=False,
)
ALONE = PythonParts(
    PREFIX / "bin/python3.11", system=False, library=PREFIX / "lib/python3.11", stands_alone=True
)


def test_a_python_of_the_system_is_there_already() -> None:
    found = arrange(PythonParts(Path("/usr/bin/python3.11"), system=True))
    assert (found.argv, found.mounts, found.folder) == (("/usr/bin/python3.11",), (), None)


def test_of_another_the_program_the_library_and_what_both_need_is_mounted() -> None:
    found = arrange(OUTSIDE)
    assert dict(found.mounts) == {
        PREFIX / "bin/python3.11": TARGET / "bin/python3.11",
        PREFIX / "lib/python3.11": TARGET / version_folder(),
        PREFIX / "lib/libpython3.11.so.1.0": TARGET / "lib/libpython3.11.so.1.0",
    }
    assert found.emptied == [TARGET / version_folder() / "site-packages"]


def test_the_loader_is_told_where_its_libraries_are() -> None:
    found = arrange(OUTSIDE)
    assert list(found.argv) == [
        "/lib64/ld-linux-x86-64.so.2", "--library-path", f"{TARGET}/lib", f"{TARGET}/bin/python3.11",
    ]  # fmt: skip
    assert found.folder is None, "an agent that starts it would not be told"


def test_one_that_stands_alone_is_on_path() -> None:
    found = arrange(ALONE)
    assert list(found.argv) == [f"{TARGET}/bin/python3"]
    assert found.folder == TARGET / "bin"


def test_extension_modules_elsewhere_are_put_where_they_are_looked_for() -> None:
    elsewhere = PythonParts(
        PREFIX / "bin/python3", False, PREFIX / "lib/python3.11", Path("/home/u/lib64/lib-dynload")
    )
    target = dict(arrange(elsewhere).mounts)[Path("/home/u/lib64/lib-dynload")]
    assert target == TARGET / version_folder() / "lib-dynload"


def test_this_daemons_own_python_is_never_mounted_whole() -> None:
    """With no folder of the system's, wherever it is it comes part by part."""
    found = host_python([])
    library = Path(found.mounts[1][0])
    assert (library / "os.py").is_file()
    assert all(source.is_file() or source == library for source, _ in found.mounts)
