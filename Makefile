# `make demo` and `make test` set up all they need: a virtual environment in .venv with the pinned packages, and, at the
# first use of an engine, its jars from Maven Central (kept in ~/.cache/request-logger).

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The first of these that is new enough is used; `make PYTHON=/path/to/python demo` chooses another.
PYTHON ?= python3 python3.14 python3.13 python3.12 python3.11
ARGS ?=
# What depends on the kind of engine: what is stored, how it is scored, and what is asked.
ENGINE_TESTS := tests/analytics tests/scorers tests/store tests/simulation/test_model.py \
  $(addsuffix .py,$(addprefix tests/test_,main_job bad_input \
  golden wire modes orders oracle round_trips metrics_server custom_metrics exporter check_quality dashboards \
  dashboard_figures dead_letters export rescore retention))
# What runs the store and the spool without an engine.
COVERAGE_TESTS := tests/store tests/spool tests/test_spool.py tests/test_recorder.py
# So many schedules of the simulation are measured, too: a minute of an idle core.
COVERAGE_SCHEDULES := 400
# What the image holds, and licences that can't be in it.
LOCKED = $(shell sed -nE 's/^([a-z0-9._-]+)==.*/\1/p' requirements.lock)
FORBIDDEN := GPL;AGPL;SSPL;Commons Clause;Proprietary

.PHONY: help venv demo test test-engines fuzz fuzz-coverage coverage simulate faults lint format bench bench-first \
  bench-writes bench-report docs \
  docs-site dist sbom licences audit image-check lock clean

help: ## say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

venv: $(READY) ## make .venv, or bring it up to date

$(READY): requirements-dev.lock setup.cfg pyproject.toml
	@for python in $(PYTHON); do \
	  if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then echo "Python 3.11 or later is needed: install one, or name it with make PYTHON=..." >&2; exit 2; fi; \
	echo "making $(VENV) with $$($$found --version) ..."; \
	$$found -c 'import ensurepip, venv' 2>/dev/null && $$found -m venv $(VENV) || \
	  { echo "$$found can't make a virtual environment: install its venv module (Debian, Ubuntu: apt install python3-venv)" >&2; exit 2; }
	@echo "installing the packages of requirements-dev.lock ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $(READY)

demo: $(READY) ## start an engine and the logger, replay traffic, show the figures (ARGS=--once: and end)
	@$(BIN)/request-logger demo $(ARGS)

test: $(READY) ## run the tests, on real engines
	$(BIN)/python -m pytest $(ARGS)

test-engines: $(READY) ## run the tests that speak to an engine on Elasticsearch 7.10 OSS and 9, too
	@for kind in elasticsearch7-oss elasticsearch9; do \
	  echo "== $$kind"; TEST_ENGINE=$$kind $(BIN)/python -m pytest -q -m engine $(ENGINE_TESTS) $(ARGS) || exit 1; \
	done

fuzz: $(READY) ## 50,000 requests of garbage: no 5xx, no traceback, memory flat
	FUZZ_REQUESTS=50000 $(BIN)/python -m pytest -q tests/test_fuzz.py $(ARGS)

coverage: $(READY) ## show the branch coverage of store, spool and recorder by tests and schedules that need no engine
	$(BIN)/python -m coverage run -m pytest -q -m "not engine" $(COVERAGE_TESTS) $(ARGS)
	$(BIN)/python -m coverage run --append -m tests.simulation --first 0 --schedules $(COVERAGE_SCHEDULES) --processes 0
	$(BIN)/python -m coverage report

simulate: $(READY) ## play schedules of faults in virtual time for 5 minutes on all cores (ARGS=--minutes 60, --seed N)
	@$(BIN)/python -m tests.simulation $(ARGS)

# Seconds for each target; ARGS is handed to libFuzzer. The corpus that it grows, and what it finds, are in build/fuzzing.
FUZZ_SECONDS ?= 900
FUZZ_TARGETS ?= decode event redact join

fuzz-coverage: $(READY) ## an hour of coverage-guided fuzzing of decoding, events, redaction and joins (FUZZ_SECONDS=900)
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/python -m pip install --quiet --editable '.[fuzz]'
	@for target in $(FUZZ_TARGETS); do \
	  mkdir -p build/fuzzing/$$target; \
	  $(BIN)/python -m tests.fuzzing $$target -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -timeout=20 \
	    -rss_limit_mb=1500 -artifact_prefix=build/fuzzing/$$target- -dict=tests/fuzzing/words.dict $(ARGS) \
	    build/fuzzing/$$target tests/fuzzing/corpus/$$target || exit 1; \
	done

faults: $(READY) ## everything that breaks, a row each: what was acknowledged is in the engine, once (ARGS=row ...)
	@$(BIN)/python -m bench.faults $(ARGS)

lint: $(READY) ## ruff, its formatter, mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY) ## let ruff mend and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) ## ours beside what bounds it; writes docs/performance.md and its plots
	@$(BIN)/python -m bench.speed --write $(ARGS)

bench-first: $(READY) ## 6,000 events through HTTP, each looked up, beside one _update?refresh=true an event
	@$(BIN)/python -m bench.first $(ARGS)

bench-writes: $(READY) ## what three ways of writing cost the engine
	@$(BIN)/python -m bench.writes $(ARGS)

bench-report: $(READY) ## how long a report over 100,000 documents takes
	@$(BIN)/python -m bench.report $(ARGS)

image-check: $(READY) ## build and run the Dockerfile with buildah, no Docker needed (root, buildah, debootstrap)
	@$(BIN)/python -m tests.release.image_check

docs: $(READY) ## write the pages that are made from the code anew
	$(BIN)/request-logger settings > docs/settings.md
	$(BIN)/request-logger reference commands > docs/commands.md
	$(BIN)/request-logger reference fields > docs/fields.md
	$(BIN)/request-logger reference writer > docs/writer.md

docs-site: $(READY) ## build the site of docs/ into build/site; with ARGS=serve, serve it while you write
	$(BIN)/mkdocs $(if $(ARGS),$(ARGS),build --strict)

dist: $(READY) ## build the wheel and the sdist, into dist/
	$(BIN)/python -m build --quiet

sbom: $(READY) ## list what the image holds beside Python: dist/sbom.json (CycloneDX)
	@mkdir -p dist
	$(BIN)/cyclonedx-py requirements requirements.lock --output-reproducible --output-file dist/sbom.json

licences: $(READY) ## list the licences of the packages in requirements.lock, into dist/licences.md
	@mkdir -p dist
	$(BIN)/pip-licenses --packages $(LOCKED) --with-urls --format markdown --output-file dist/licences.md \
	  --partial-match --fail-on "$(FORBIDDEN)"

audit: $(READY) ## ask for known vulnerabilities of the packages in requirements.lock
	$(BIN)/python .ci/audit

lock: ## pin the newest versions that setup.cfg allows (needs uv)
	@command -v uv >/dev/null || { echo "make lock needs uv: pip install uv" >&2; exit 2; }
	uv pip compile setup.cfg --quiet --upgrade --universal --python-version 3.11 --no-emit-index-url \
	  --extra kafka --custom-compile-command "make lock" --output-file requirements.lock
	uv pip compile setup.cfg --quiet --upgrade --universal --python-version 3.11 --no-emit-index-url --extra dev \
	  --constraint requirements.lock --custom-compile-command "make lock" --output-file requirements-dev.lock

clean: ## remove .venv and caches of tools
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
