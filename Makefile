# Every target runs from a fresh clone: it makes .venv when it is missing and installs again only when
# pyproject.toml or constraints.txt changed. Nothing is installed outside .venv.

PYTHON ?= python3
WORKERS ?= auto
TIMES ?= 10
TARGET ?= examples.hello.app:app

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# The official TypeScript package, which the interop tests run apps of. They say so where it is missing.
NODE := tests/interop/typescript
NODE_INSTALLED := $(NODE)/node_modules/.installed
# One hash seed, so that all of xdist's workers collect the tests in the same order.
PYTEST := PYTHONHASHSEED=0 $(BIN)/python -m pytest -q -n $(WORKERS)
NEW_ENOUGH = "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
  || { echo "error: Stepwell needs Python 3.11 or newer, and '$(PYTHON)' is not; name another: PYTHON=python3.12" >&2; exit 1; }
CACHES := .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .grimp_cache build dist

.DEFAULT_GOAL := help
ENGINE_FUNCTIONS := ApiFunction QueueFunction SweepFunction SyncFunction
.PHONY: help demo dev test test-often node sim sim-long fuzz check bench-wake aws-local demo-aws sam-local format clean
.PHONY: $(ENGINE_FUNCTIONS:%=build-%) build-OrdersFunction
.DELETE_ON_ERROR:

help: ## Show this list
	@echo "usage: make TARGET"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' Makefile
	@echo "  PYTHON=python3.12 chooses the interpreter that .venv is made with (3.11 or newer)."

demo: $(INSTALLED) ## Run the order-fulfilment example on real input; under a minute, no account needed
	@$(BIN)/stepwell demo

dev: $(INSTALLED) ## Start the dev server on port 8288; TARGET=module:app or a URL (default: the hello example)
	@$(BIN)/stepwell dev $(TARGET)

test: $(INSTALLED) node ## Run the tests
	@$(PYTEST)

test-often: $(INSTALLED) node ## Run the tests TIMES=10 times in a row while every core is busy; ends at the first red run
	@$(BIN)/python -m tests.often $(TIMES) env $(PYTEST)

node: ## Install what the tests with the official TypeScript package need, where there is Node.js and npm
	@if command -v node >/dev/null && command -v npm >/dev/null; then $(MAKE) --no-print-directory $(NODE_INSTALLED); \
	  else echo "note: no Node.js and npm here, so apps of the official TypeScript package will not be tried"; fi

sim: $(INSTALLED) ## Simulate SEEDS=2000 faulty worlds from START=0, or SEED=17, SHRINK=1, TRACE=1; BACKEND=dynamodb
	@BACKEND=$(BACKEND) SEED=$(SEED) SEEDS=$(SEEDS) START=$(START) SHRINK=$(SHRINK) TRACE=$(TRACE) $(BIN)/python -m tests.sim

fuzz: $(INSTALLED) ## Answer COUNT=100000 runs with drawn replies from START=0, also odd ones; what is found names its seed
	@COUNT=$(COUNT) START=$(START) $(BIN)/python -m tests.fuzz

sim-long: $(INSTALLED) ## The same with SEEDS=50000; Ctrl-C ends it with what was found so far
	@BACKEND=$(BACKEND) SEEDS=$(or $(SEEDS),50000) START=$(START) $(BIN)/python -m tests.sim

check: $(INSTALLED) node ## What CI runs: format, lint, strict types, import contracts, tests
	@echo "== format" && $(BIN)/python -m ruff format --check .
	@echo "== lint" && $(BIN)/python -m ruff check .
	@echo "== types" && $(BIN)/python -m mypy && $(BIN)/basedpyright --project pyproject.toml
	@echo "== import contracts" && $(BIN)/lint-imports --no-logo
	@echo "== tests" && $(PYTEST)

bench-wake: $(INSTALLED) ## Time how events resume waiting runs, with up to 100,000 waiting; about 4 minutes
	@$(BIN)/python bench/wake.py

aws-local: $(INSTALLED) ## Deploy to an emulated AWS on this machine, run the demo there, delete the stack
	@$(BIN)/python -m infra.local.deploy

demo-aws: $(INSTALLED) ## Run the demo's orders on AWS backends in this process (moto); about six minutes
	@$(BIN)/python -m tests.orchestrator.aws.demo

sam-local: $(INSTALLED) ## Run every function with its sample event by `sam local`, in containers where they can be had
	@$(BIN)/python -m infra.local.invoke

# What `sam build` calls, with ARTIFACTS_DIR as the folder to fill. See infra/build.py.
$(ENGINE_FUNCTIONS:%=build-%):
	@$(NEW_ENOUGH)
	@"$(PYTHON)" infra/build.py engine "$(ARTIFACTS_DIR)"

build-OrdersFunction:
	@$(NEW_ENOUGH)
	@"$(PYTHON)" infra/build.py app orders "$(ARTIFACTS_DIR)"

format: $(INSTALLED) ## Format the code, fix what the linter can fix, and generate what is generated
	@$(BIN)/python infra/sync_steps.py
	@$(BIN)/python -m ruff check --fix-only --quiet .
	@$(BIN)/python -m ruff format .

clean: ## Remove .venv, caches and build output; keeps .stepwell/ (your local runs)
	@rm -rf $(VENV) $(CACHES) $(NODE)/node_modules .aws-sam .aws-local
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo "removed $(VENV), caches and build output"

$(NODE_INSTALLED): $(NODE)/package.json $(NODE)/package-lock.json
	@echo "installing the official TypeScript package into $(NODE) with Node.js $$(node --version) (the first time takes a minute)"
	@cd $(NODE) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error \
	  || { echo "note: npm ci failed, so apps of the official TypeScript package will not be tried" >&2; exit 0; }; \
	  touch node_modules/.installed

$(INSTALLED): pyproject.toml constraints.txt
	@$(NEW_ENOUGH)
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "error: '$(PYTHON)' comes without the venv module; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@echo "installing into $(VENV) with $$("$(PYTHON)" --version) (the first time takes about a minute)"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
