# make demo   installs into .venv and runs the main job by itself
# make test   everything, with the real components (Docker, bubblewrap, the real agent CLI)
# make check  format, lint, types, unit tests: under a minute
# make acceptance   every behaviour that was promised, with the tests that prove it
# make attacks   what a hostile agent tries from inside, on every engine
# make crash  hundreds of kill -9 at random moments; writes docs/reliability.md
# make agents   all six agents' real programs through every kind of trouble; writes docs/agents.md
# make mcpb   dist/rover-mcp.mcpb, which Claude Desktop installs
# make bench  speed, side by side in one run

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
LOCKED := $(VENV)/.locked
DEV := $(VENV)/.dev

# Every daemon and runner that a test starts would compile all it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install dev demo test check check-static check-unit test-daemons test-parts attacks acceptance agents crash bench mcpb lock clean

install: $(LOCKED)

$(LOCKED): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "rover-mcp needs Python 3.11 or later: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/python -m compileall -q rover_mcp agent_runner
	@touch $@

dev: $(DEV)

$(DEV): $(LOCKED) requirements-dev.lock
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.lock
	@touch $@

demo: install
	@$(BIN)/rover demo

check: dev
	@$(MAKE) --no-print-directory --output-sync --jobs 2 check-static check-unit

check-static:
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

check-unit:
	$(BIN)/python -m pytest -q tests/unit

# Two at a time: half of what they do is wait for sandboxes.
test: dev
	@$(MAKE) --no-print-directory --output-sync --jobs 2 test-daemons test-parts

test-daemons:
	$(BIN)/python -m pytest -q tests/e2e tests/protocol tests/scenarios tests/clients tests/integration/control tests/contracts

test-parts:
	$(BIN)/python -m pytest -q tests/crash tests/unit tests/conformance tests/integration tests/attacks tests/matrix --ignore tests/integration/control

attacks: dev
	$(BIN)/python -m pytest -q tests/attacks

acceptance: dev
	@$(BIN)/python -m tests.acceptance

agents: dev
	$(BIN)/python -m tests.matrix

crash: dev
	$(BIN)/python -m tests.crash

bench: dev
	$(BIN)/python -m benchmarks

mcpb: dev
	$(BIN)/python -m bundle

# The exact versions of everything, with hashes. Needs uv (in the dev dependencies' lock too).
lock:
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --extra build pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --group dev pyproject.toml --extra build -o requirements-dev.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header tests/clients/fastmcp.in -o tests/clients/fastmcp.lock

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
