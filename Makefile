# GNU make. `make` alone lists the targets.
#
#   PYTHON=...  the Python (3.11 or newer) to build .venv with; by default the first that works
#   STORE=...   the store of `make demo`: sqlite (default) or postgresql
#   ONLY=...    one scenario of `make reliability`, such as R05; then also STORE and SEED
#   ARGS=...    more arguments for demo, bench, bench-quick, bench-peers, reliability and for pytest in test

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

STORE ?= sqlite
ARGS ?=

VENV  := .venv
PY    := $(VENV)/bin/python
STAMP := $(VENV)/.ready
PLACE := $(VENV)/.place
PINS  := requirements/dev.txt

# pip: no advice about root or newer versions, no user's settings that break a venv.
PIP := PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_USER=0 \
       PIP_REQUIRE_VIRTUALENV=0 $(PY) -m pip -qq

VERSION_OF := import sys; print(*sys.version_info[:3], sep=".")

# .venv is stale if it was built in another place, no longer runs, or is of another version than PYTHON.
define STALE_CHECK
if test -f $(STAMP); then \
  have=`$(PY) -c '$(VERSION_OF)' 2>/dev/null` || have=none; \
  want="$$have"; \
  if test -n "$(PYTHON)"; then want=`"$(PYTHON)" -c '$(VERSION_OF)' 2>/dev/null` || want=unusable; fi; \
  test "$$have" = "$$want" && test "$$have" != none && test "`cat $(PLACE)`" = "$(CURDIR)" || echo stale; \
fi
endef

ifeq ($(shell $(STALE_CHECK)),stale)
.PHONY: $(STAMP)
endif

.PHONY: help
help: ## List the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z][a-z-]*:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: $(STAMP) ## Run the example shop (STORE=sqlite or STORE=postgresql, ARGS=... passed on)
	@$(PY) -m examples.shop.demo --store $(STORE) $(ARGS)

.PHONY: test
test: check ## Run the checks, then the tests
	$(PY) -m pytest -n 2 $(ARGS)

.PHONY: check
check: $(STAMP) ## Check format, lint, types and the layering of imports
	$(PY) -m ruff format --check
	$(PY) -m ruff check
	$(PY) -m mypy
	$(VENV)/bin/lint-imports --no-cache

.PHONY: format
format: $(STAMP) ## Format the code and apply the lint's safe fixes
	$(PY) -m ruff check --fix-only
	$(PY) -m ruff format

.PHONY: bench-quick
bench-quick: $(STAMP) ## Run the benchmarks in their short form
	@$(PY) -m benchmarks --quick $(ARGS)

.PHONY: bench
bench: $(STAMP) ## Run the benchmarks in full
	@$(PY) -m benchmarks $(ARGS)

.PHONY: bench-peers
bench-peers: $(STAMP) ## Run the benchmarks in which other libraries take part, with them
	@$(PY) -m benchmarks --peers $(ARGS)

.PHONY: reliability
reliability: $(STAMP) ## Run tier 2: scenarios with full counts and revert tests (ONLY=R05 STORE=sqlite SEED=7)
	$(PY) -m tests.reliability $(if $(ONLY),--only $(ONLY)) $(if $(SEED),--seed $(SEED)) \
	  $(if $(filter command environment,$(firstword $(origin STORE))),--store $(STORE)) $(ARGS)
	$(if $(ONLY),,$(PY) -m pytest -m reliability -n 0)

.PHONY: pictures
pictures: $(STAMP) ## Draw the pictures of the docs anew from the running code
	@$(PY) -m tests.docs.draw_states

.PHONY: venv
venv: $(STAMP) ## Set up .venv (every target that needs it does so by itself)

.PHONY: pins
pins: $(STAMP) ## Resolve what is required, by us and by the peers of the benchmarks, anew into pinned files
	@rm -rf $(VENV)/pins && $(PY) -m venv $(VENV)/pins
	@$(subst $(PY),$(VENV)/pins/bin/python,$(PIP)) install uv
	$(VENV)/pins/bin/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes \
	  --no-header --extra all pyproject.toml requirements/dev.in -o $(PINS)
	for peer in requirements/peers/*.in; do \
	  $(VENV)/pins/bin/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes \
	    --no-header $$peer -o $${peer%.in}.txt || exit 1; \
	done
	@rm -rf $(VENV)/pins
	@! grep -nE '://|^ *--[^h]' $(PINS) requirements/peers/*.txt

.PHONY: clean
clean: ## Remove .venv, caches and build output
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

# The set-up. The stamp is removed first and written last, so that whatever was interrupted is done again.
# A .venv that works is kept, unless PYTHON asks for another version.
$(STAMP): $(PINS) pyproject.toml
	@have=`$(PY) -c '$(VERSION_OF)' 2>/dev/null` || have=; \
	test "`cat $(PLACE) 2>/dev/null`" = "$(CURDIR)" && $(PY) -m pip --version >/dev/null 2>&1 || have=; \
	python=; without=; \
	if test -n "$(PYTHON)"; then set -- "$(PYTHON)"; \
	elif test -n "$$have"; then set -- $(PY); \
	else set -- python3 python python3.13 python3.12 python3.11; fi; \
	for p in "$$@"; do \
	  "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue; \
	  if "$$p" -c 'import ensurepip, venv' >/dev/null 2>&1; then \
	    python=`"$$p" -c 'import sys; print(sys._base_executable)'`; break; \
	  fi; \
	  without="$$without $$p"; \
	done; \
	if test -z "$$python" && test -n "$$without"; then \
	  echo "No .venv: the venv module is missing from$$without. On Debian and Ubuntu: apt-get install python3-venv" >&2; \
	  exit 1; \
	elif test -z "$$python"; then \
	  echo "No .venv: no working Python 3.11 or newer among: $$*. Install one, or name one: make PYTHON=/path/to/python3" >&2; \
	  exit 1; \
	fi; \
	rm -f $(STAMP); \
	want=`"$$python" -c '$(VERSION_OF)'`; \
	if test "$$have" = "$$want"; then \
	  echo "Bringing $(VENV) up to date (Python $$want)"; \
	else \
	  echo "Setting up $(VENV) with Python $$want (once; well under a minute on a fast line)"; \
	  rm -rf $(VENV) && "$$python" -m venv $(VENV) && printf '%s\n' "$(CURDIR)" > $(PLACE); \
	fi
	@$(PIP) install --require-hashes -r $(PINS)
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@
	@echo "$(VENV) is ready"
