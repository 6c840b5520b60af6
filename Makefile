# Everything a newcomer needs: `make demo` and `make test`. Both create and use .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test lint bench truth soak zipapp clean
.DELETE_ON_ERROR:

demo: $(VENV)/.core
	$(BIN)/python examples/demo.py

test: lint
	$(BIN)/python -m pytest

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Side by side with other tools, in one run. METER= runs the wrapper's bench in full (20 minutes, 9 GiB of memory).
# DATA is a folder with price lists and benchmarks to check the catalogue against (optional).
METER ?= --quick
bench: $(VENV)/.bench
	mkdir -p .bench
	$(BIN)/python bench/meter/run.py $(METER) --json .bench/meter.json
	$(BIN)/python bench/store/run.py
	$(BIN)/python bench/store/million.py
	$(BIN)/python bench/placement/run.py
	$(BIN)/python bench/governor/run.py
	$(BIN)/python bench/local/run.py
	$(BIN)/python bench/day/run.py $(if $(DATA),--data $(DATA))
	$(if $(DATA),$(BIN)/python bench/catalog/check_prices.py --data $(DATA),@echo "prices not checked: make bench DATA=FOLDER")

# Programs whose true use is known, and what the wrapper says of them.
truth: $(VENV)/.core
	$(BIN)/python tests/e2e/truth/check.py

# The slow runs: the wrapper's truth suite on cgroup v2, inside a small virtual machine; 10,000 simulated worlds.
soak: $(VENV)/.dev
	$(BIN)/python -m pytest -m soak tests/soak

# The wrapper alone, for machines that have no more than python3.
zipapp: $(VENV)/.core
	$(BIN)/python -m flyball.meter.zipapp_build flyball-meter.pyz

$(VENV)/.core: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	$(PIP) -e '.[dev]'
	@touch $@

$(VENV)/.bench: $(VENV)/.dev
	$(PIP) -e '.[dev,bench]'
	@touch $@

clean:
	rm -rf $(VENV) .demo .bench .soak
