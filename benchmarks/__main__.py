"""`python -m benchmarks [NAME ...]`: every module of this folder that has a `main`, in turn."""

from __future__ import annotations

import importlib
import os
import pkgutil
import platform
import sys

import benchmarks


def main() -> int:
    """Run those that are named, else all. 64: a name is unknown."""
    found = sorted(m.name for m in pkgutil.iter_modules(benchmarks.__path__) if m.name[0] != "_")
    modules = {name: importlib.import_module(f"benchmarks.{name}") for name in found}
    runnable = {name: module for name, module in modules.items() if hasattr(module, "main")}
    wanted = sys.argv[1:] or list(runnable)
    if unknown := [name for name in wanted if name not in runnable]:
        print(
            f"no benchmark {', '.join(unknown)}; there are: {', '.join(runnable)}", file=sys.stderr
        )
        return 64
    load = os.getloadavg()[0]
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, load {load:.1f}")
    for name in wanted:
        runnable[name].main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
