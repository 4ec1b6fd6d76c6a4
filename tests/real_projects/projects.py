"""The projects: where their sources are published, and the work that a task does in each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PIP = "python3 -m venv .venv && .venv/bin/pip install --quiet"
PYTEST = ".venv/bin/python -m pytest -q -p no:cacheprovider"


@dataclass(frozen=True)
class Project:
    """One project. The commands run with bash at the root of the task's work tree.

    `change` edits the files of `changed`, and nothing else may be in the delivered diff.
    `submodule` is a folder of the archive that is a submodule in the project's own repository.
    `lfs` is a pattern whose files are kept by Git LFS. `drop` is a folder of installed packages in
    the archive that the repository of the test does not have. `ignore` holds the lines of the .gitignore
    of the project's own repository that matter here, where the archive leaves that file out.
    """

    name: str
    what: str
    registry: Literal["PyPI", "Debian"]
    package: str
    install: str
    change: str
    changed: tuple[str, ...]
    test: str
    ignore: str = ""
    submodule: str | None = None
    lfs: str | None = None
    drop: str | None = None


PROJECTS = (
    Project(
        "itsdangerous",
        "Python",
        "PyPI",
        "itsdangerous==2.2.0",
        install=f"{PIP} -e . pytest freezegun",
        change="printf '\\n\\ndef want_nothing() -> bytes:\\n    return b\"\"\\n' "
        ">> src/itsdangerous/encoding.py && printf '\\n\\ndef test_want_nothing():\\n"
        '    from itsdangerous.encoding import want_nothing\\n\\n    assert want_nothing() == b""\\n\' '
        ">> tests/test_itsdangerous/test_encoding.py",
        changed=("src/itsdangerous/encoding.py", "tests/test_itsdangerous/test_encoding.py"),
        test=PYTEST,
        ignore=".venv/\n__pycache__/\n",
    ),
    Project(
        "flask",
        "Python; its .gitignore does not name .venv here",
        "PyPI",
        "flask==3.1.3",
        install=f"{PIP} -e . 'pytest<9'",
        change="sed -i 's/^import json/import json  # the standard library/' "
        "tests/test_json.py && rm CHANGES.rst && mv LICENSE.txt LICENSE",
        changed=("CHANGES.rst", "LICENSE", "LICENSE.txt"),
        test=f"{PYTEST} tests/test_basic.py tests/test_blueprints.py tests/test_json.py",
        ignore="__pycache__/\n",
    ),
    Project(
        "django",
        "Python, 6,900 files",
        "PyPI",
        "django==5.2.19",
        install=f"{PIP} -e .",
        change="printf '\\n# Checked.\\n' >> django/utils/text.py",
        changed=("django/utils/text.py",),
        test="cd tests && ../.venv/bin/python runtests.py utils_tests.test_text template_tests.test_base "
        "template_tests.filter_tests forms_tests --parallel=1 -v 0",
        ignore=".venv/\n*.egg-info\n*.py[co]\n__pycache__/\n",
    ),
    Project(
        "hiredis",
        "Python and C, with a submodule",
        "PyPI",
        "hiredis==3.5.0",
        install=f"{PIP} -e . pytest",
        change="printf '\\n# Checked.\\n' >> hiredis/version.py",
        changed=("hiredis/version.py",),
        test=f"{PYTEST} tests",
        ignore=".venv/\n/build\n*.so\n__pycache__/\n*.egg-info/\n",
        submodule="vendor/hiredis",
    ),
    Project(
        "pypdf",
        "Python, with its PDF files in Git LFS",
        "PyPI",
        "pypdf==7.1.1",
        install=f"{PIP} -e . pytest pytest-socket pytest-timeout pillow fpdf2 pyyaml && "
        "git lfs install --local && git lfs checkout",
        change="cp resources/box.pdf resources/box-copy.pdf && "
        "printf '\\n# Checked.\\n' >> pypdf/papersizes.py",
        changed=("pypdf/papersizes.py", "resources/box-copy.pdf"),
        test=f"{PYTEST} tests/test_papersizes.py tests/test_pagerange.py tests/test_merger.py "
        "-m 'not enable_socket'",
        ignore=".venv/\n__pycache__/\n",
        lfs="*.pdf",
    ),
    Project(
        "lz4",
        "C, make",
        "Debian",
        "lz4",
        install="make -s -j2 lib",
        change="sed -i 's/LZ4 - Fast LZ compression/LZ4 - fast LZ compression/' lib/lz4.h",
        changed=("lib/lz4.h",),
        test="make -s -C tests frametest && ./tests/frametest -T2s >/dev/null",
    ),
    Project(
        "express",
        "Node",
        "Debian",
        "node-express",
        install="npm install --no-audit --no-fund --loglevel=error",
        change="sed -i 's/^4.18.2/4.18.3/' History.md",
        changed=("History.md",),
        test="npx mocha --require test/support/env --reporter dot --check-leaks "
        "test/Route.js test/Router.js test/config.js",
    ),
    Project(
        "npm",
        "a monorepo of workspaces",
        "Debian",
        "npm",
        install="npm install --no-audit --no-fund --loglevel=error --no-save "
        "--workspace libnpmversion --ignore-scripts",
        change="printf '\\n// Checked.\\n' >> workspaces/libnpmversion/lib/index.js",
        changed=("workspaces/libnpmversion/lib/index.js",),
        test="cd workspaces/libnpmversion && node test/retrieve-tag.js && node test/write-json.js",
        ignore="node_modules/\n",
        drop="node_modules",
    ),
    Project(
        "fnv",
        "Rust",
        "Debian",
        "rust-fnv",
        install="cargo build --offline --quiet",
        change="printf '\\n// Checked.\\n' >> lib.rs",
        changed=("lib.rs",),
        test="cargo test --offline --quiet",
    ),
    Project(
        "linux",
        "C, 78,000 files",
        "Debian",
        "linux",
        install="make -s -C tools/lib/api",
        change="sed -i 's/^NAME = .*/NAME = Rover/' Makefile",
        changed=("Makefile",),
        test="make -s kernelversion && make -s -C tools/lib/subcmd",
    ),
)
