# `make demo` and `make test` do all the set-up themselves: Python 3.11 or newer and make are enough.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: demo test test-long test-min lint clean

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(STAMP)  ## inspect, train, export and predict with LeNet-5 on real digits
	$(BIN)/python examples/demo.py

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: $(STAMP)  ## every check that runs on every change; says how long it took
	@start=$$(date +%s); $(MAKE) --no-print-directory lint && $(BIN)/pytest -n auto -m 'not long'; status=$$?; \
	echo "make test: $$(( $$(date +%s) - start )) s"; exit $$status

test-long: $(STAMP)  ## the checks that take minutes
	$(BIN)/pytest -n auto

test-min:  ## on the oldest versions that pyproject.toml allows
	test -x .venv-min/bin/python || $(PYTHON) -m venv .venv-min
	.venv-min/bin/python -m pip install --quiet --constraint constraints-min.txt --editable '.[dev]'
	.venv-min/bin/pytest -n auto -m 'not long'

clean:
	rm -rf $(VENV) .venv-min .mypy_cache .ruff_cache .import_linter_cache
