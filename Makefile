# make demo, make test, make check: each sets up all that it needs in .venv.

PYTHON ?= python3
SECONDS ?= 40
BIN := .venv/bin
# A file of tests stays with one worker; tests/conftest.py puts the longest first.
SHARED := -n 3 --dist loadfile --no-loadscope-reorder

# Byte code is kept, whatever the machine's wish: a test run starts some hundred processes, and each
# would read its sources anew; and each worker of pytest would rewrite the asserts of all tests.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test check locks sbom clean

demo: .venv/dev
	$(BIN)/headgate demo --seconds $(SECONDS)

test: .venv/dev
	$(BIN)/pytest $(SHARED)

check: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest $(SHARED) -m "not slow"

locks:
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate -q --upgrade -o requirements.lock
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate -q --upgrade -o requirements-dev.lock

sbom:
	@$(PYTHON) .ci/sbom.py requirements.lock > sbom.json && echo "sbom.json: what requirements.lock pins, with hashes"

clean:
	rm -rf .venv

.venv/dev: requirements-dev.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@
