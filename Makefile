# `make demo` and `make test` do all the set-up themselves: Python 3.11 or newer and make are enough.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: demo test test-long test-min lint web web-check vscode clean

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

web: web/node_modules  ## the pages in cnnspec/web, from web/; needs node 20.19 or newer
	cd web && npm run --silent check && npm run --silent test && npm run --silent build
	$(PYTHON) web/engine.py
	$(PYTHON) web/notices.py

web-check: web  ## the committed pages are what their sources give
	git diff --exit-code --stat -- cnnspec/web

web/node_modules: web/package-lock.json
	cd web && npm install --no-save --no-audit --no-fund && touch node_modules

vscode: editors/vscode/node_modules  ## dist/cnnspec.vsix, the extension for Visual Studio Code
	mkdir -p dist
	cd editors/vscode && npm run --silent check && npm run --silent build && npm run --silent pack

editors/vscode/node_modules: editors/vscode/package-lock.json
	cd editors/vscode && npm install --no-save --no-audit --no-fund && touch node_modules

clean:
	rm -rf $(VENV) .venv-min .mypy_cache .ruff_cache .import_linter_cache
