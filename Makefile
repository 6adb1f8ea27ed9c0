# Two commands: `make demo` shows the effect, `make test` runs the test suite.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: demo test quick examine lint bench docs
demo: $(INSTALLED)
	$(BIN)/whichgoal run sweeps/quickstart.yaml

test: $(INSTALLED)
	$(BIN)/python -m pytest --durations=20

quick: $(INSTALLED)
	$(BIN)/python -m pytest -m "not slow and not examine"

# What takes longest and rarely tells anything; then the battery's own test, whose record every
# scorecard names: commit what it changes.
examine: $(INSTALLED)
	$(BIN)/python -m pytest -m examine --durations=20
	$(BIN)/whichgoal validate --jobs 2 --record platform/divergence/score/validation.json --figure docs/confusion.png

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy -p whichgoal

# Into build/site; a link that leads nowhere fails.
docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "documentation: build/site/index.html"

bench: $(INSTALLED)
	$(BIN)/python benchmarks/engine.py --json benchmarks/results/engine.json
	$(BIN)/python benchmarks/physics.py --json benchmarks/results/physics.json
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/architectures.py
	$(BIN)/python benchmarks/capacities.py
	$(BIN)/python benchmarks/battery.py
	$(BIN)/python benchmarks/overhead.py --json benchmarks/results/overhead.json
	$(BIN)/python benchmarks/ledger.py --json benchmarks/results/ledger.json
	$(BIN)/whichgoal run sweeps/quickstart.yaml
	$(BIN)/python benchmarks/tracking.py runs quickstart --json benchmarks/results/tracking.json

# The install is locked: constraints.txt holds the exact version of every package that was tested.
# torch comes first and exact, so that nothing pulls another build of it. What is compiled at its
# first use is compiled last, so that no first run waits for it.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python >= 3.11 is needed, this is " + sys.version.split()[0] + "; try: make PYTHON=python3.11 demo") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/python -m whichgoal.run.warm
	touch $@
