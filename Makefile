# make demo   installs into .venv and plays the main job from beginning to end
# make test   everything, with the real components (Docker, bubblewrap, the real agent CLI);
#             installs what it lacks
# make check  format, lint, types, shell scripts, unit tests with the coverage of branches
# make docs   regenerates every generated page and file
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

# With it, every daemon and runner that a test starts would compile all modules that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install dev demo test check check-static check-unit check-coverage attacks acceptance agents crash bench mcpb docs docs-from-code docs-from-runs lock clean

install: $(LOCKED)

$(LOCKED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "rover-mcp needs Python 3.11 or later: make PYTHON=python3.12 ...")'
	@echo "1/4  a virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@echo "2/4  what Rover needs, as locked: $$(grep -c '==' requirements.lock) packages, about a minute"
	@$(BIN)/python tools/install_locked.py requirements.lock
	@echo "3/4  Rover itself"
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@echo "4/4  compiled, so that its first start is quick"
	@$(BIN)/python -m compileall -q rover_mcp agent_runner
	@touch $@

dev: $(DEV)

$(DEV): $(LOCKED) requirements-dev.lock
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.lock
	@touch $@

demo: install
	@$(BIN)/rover demo

check: dev
	@$(MAKE) --no-print-directory --output-sync --jobs 2 check-static check-coverage

check-static:
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports --no-cache
	git ls-files -z '*.sh' .ci/run ':!:*/_*.sh' | xargs -0 $(BIN)/shellcheck -x -a -P SCRIPTDIR

check-unit:
	$(BIN)/python -m pytest -q tests/unit

# The same with branch coverage. The floor, fail_under in pyproject.toml, is only ever raised.
check-coverage:
	$(BIN)/python -m coverage run -m pytest -q tests/unit
	$(BIN)/python -m coverage report --format=total

# First the programs that the tests need, which may ask for root, then the virtual environment.
test:
	@PYTHON='$(PYTHON)' tools/test-components.sh
	@$(MAKE) --no-print-directory dev
	@$(BIN)/python -m tests.workers

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

# The pages and files that tests compare with the code or with a run. Read the diff before you
# commit it.
docs: dev
	@$(MAKE) --no-print-directory docs-from-code docs-from-runs

# $(call write,COMMAND,FILE) leaves the file as it was if the command fails.
write = $(BIN)/python -m $(1) > $(2).new && mv $(2).new $(2)

docs-from-code:
	$(BIN)/python -m tests.snapshots.update
	$(BIN)/python -m rover_mcp.server.reference docs/tools.md
	$(BIN)/python -m rover_mcp.tasks.contract
	$(call write,rover_mcp.domain.task_status,docs/states.md)
	$(call write,tools.docs.settings_page,docs/settings.md)
	$(call write,tools.docs.hand_off_page,docs/hand-off.md)
	$(call write,tools.docs.token_table docs/secrets.md,docs/secrets.md)
	$(call write,rover_mcp.config.project_schema,workflows/config.schema.json)
	$(call write,agent_runner.workflow.schema,workflows/workflow.schema.json)
	$(call write,tests.limits,docs/limits.md)
	$(call write,tests.conformance.scenarios,docs/conformance.md)
	$(BIN)/python -m tests.attacks

# These run the real programs with scripted models, and take some minutes.
docs-from-runs:
	$(BIN)/python -m tests.protocol.mistakes
	$(BIN)/python -m tests.scenarios
	$(BIN)/python -m tests.clients.delegation
	$(BIN)/python -m tests.clients.interactive
	$(BIN)/python -m tests.clients.review
	$(BIN)/python -m tests.clients.sessions

mcpb: dev
	$(BIN)/python -m bundle

# The exact versions of everything, with hashes. Needs uv, which is among the dev dependencies.
lock:
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --extra build pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --group dev pyproject.toml --extra build -o requirements-dev.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header tests/clients/fastmcp.in -o tests/clients/fastmcp.lock

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
