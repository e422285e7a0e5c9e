# `make demo` and `make test` install everything they need: a virtual environment in .venv with the pinned packages and,
# when an engine is first used, its jars from Maven Central (cached in ~/.cache/request-logger).

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# The first of these that is recent enough is used; `make PYTHON=/path/to/python demo` selects another.
PYTHON ?= python3 python3.14 python3.13 python3.12 python3.11
ARGS ?=
# Tests whose result depends on the kind of engine: storing, scoring and querying.
ENGINE_TESTS := tests/analytics tests/field tests/scorers tests/store tests/simulation/test_model.py \
  $(addsuffix .py,$(addprefix tests/test_,main_job \
  golden wire modes orders round_trips metrics_server exporter dashboards dashboard_figures retention elements))
# Those that differ least between engines: in CI on OpenSearch alone, for its time.
MORE_ENGINE_TESTS := $(addsuffix .py,$(addprefix tests/test_,bad_input custom_metrics check_quality dead_letters export oracle \
  rescore batch_rows undecodable))
# Tests of the connections to any engine, of answers that a proxy or a setting causes, and of pages in a browser: four
# minutes in all.
OTHER_TESTS := $(addprefix --ignore tests/store/test_,connections.py large_bulks.py garbage_answers.py privileges.py) \
  --ignore tests/analytics/test_browser.py
# Tests of the store and the spool that need no engine.
COVERAGE_TESTS := tests/store tests/spool tests/join_keys \
  $(addprefix tests/test_,spool.py recorder.py write_plans.py failed_requests.py payload_removal.py)
# So many schedules of the simulation are measured, too: a minute of an idle core.
COVERAGE_SCHEDULES := 400
# The packages in the image, and licences that must not be in it.
LOCKED = $(shell sed -nE 's/^([a-z0-9._-]+)==.*/\1/p' requirements.lock)
FORBIDDEN := GPL;AGPL;SSPL;Commons Clause;Proprietary

.PHONY: help venv demo test test-engines test-engines-nightly fuzz fuzz-coverage coverage simulate faults mutate lint \
  format bench bench-first \
  bench-writes bench-cost bench-ordinary bench-floor bench-coverage bench-selection bench-type-one bench-report docs \
  docs-site screenshots screencast dist sbom licences audit image-check kube-check lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

venv: $(READY) ## create or update .venv

$(READY): requirements-dev.lock setup.cfg pyproject.toml
	@for python in $(PYTHON); do \
	  if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then echo "Python 3.11 or later is needed: install one, or name it with make PYTHON=..." >&2; exit 2; fi; \
	echo "creating $(VENV) with $$($$found --version) ..."; \
	$$found -c 'import ensurepip, venv' 2>/dev/null && $$found -m venv $(VENV) || \
	  { echo "$$found can't make a virtual environment: install its venv module (Debian, Ubuntu: apt install python3-venv)" >&2; exit 2; }
	@echo "installing the packages of requirements-dev.lock: one to two minutes ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $(READY)

demo: $(READY) ## start an engine and the logger, replay traffic, show the metrics (ARGS=--once exits afterwards)
	@$(BIN)/request-logger demo $(ARGS)

# pytest exits with 5 if it has no tests to run: each of the three kinds may be empty.
test: $(READY) ## run the tests: those without an engine, those on a real engine, those with faults under load
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not engine" $(ARGS) || [ $$? -eq 5 ]
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "engine and not alone" $(ARGS) || [ $$? -eq 5 ]
	$(BIN)/python -m pytest -m "engine and alone" $(ARGS) || [ $$? -eq 5 ]

# Most of their time these tests wait for an engine, so both kinds share the cores.
test-engines: $(READY) ## run the tests that use an engine on Elasticsearch 7.10 OSS and 9, too
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target $(addprefix test-engine-,elasticsearch7-oss elasticsearch9)

# Outside CI, which has no time for them. The model of the simulation is held to the engines of CI only.
NIGHTLY := opensearch2 opensearch38 elasticsearch717 elasticsearch8
NIGHTLY_TESTS = $(filter-out tests/simulation/%,$(ENGINE_TESTS)) $(MORE_ENGINE_TESTS)

test-engines-nightly: $(READY) ## run these tests and more on OpenSearch 2.19 and 3.8, Elasticsearch 7.17 and 8, too (ARGS=...)
	@failed=; for kind in $(NIGHTLY); do \
	  echo "== $$kind"; \
	  $(MAKE) --no-print-directory test-engine-$$kind ENGINE_TESTS="$(NIGHTLY_TESTS)" || failed="$$failed $$kind"; \
	done; for kind in elasticsearch7-oss elasticsearch9; do \
	  $(MAKE) --no-print-directory test-engine-$$kind ENGINE_TESTS="$(MORE_ENGINE_TESTS)" || failed="$$failed $$kind"; \
	done; test -z "$$failed" || { echo "failed on:$$failed" >&2; exit 1; }

test-engine-%: $(READY)
	TEST_ENGINE=$* $(BIN)/python -m pytest -q -m engine $(ENGINE_TESTS) $(OTHER_TESTS) $(ARGS)

fuzz: $(READY) ## send 50,000 garbage requests: no 5xx, no traceback, constant memory
	FUZZ_REQUESTS=50000 $(BIN)/python -m pytest -q tests/test_fuzz.py $(ARGS)

coverage: $(READY) ## show the branch coverage of the store, the spool and write plans by tests without an engine
	$(BIN)/python -m coverage run -m pytest -q -m "not engine" $(COVERAGE_TESTS) $(ARGS)
	$(BIN)/python -m coverage run --append -m tests.simulation --first 0 --schedules $(COVERAGE_SCHEDULES) --processes 0
	$(BIN)/python -m coverage report

simulate: $(READY) ## run fault schedules in virtual time for 5 minutes on all cores (ARGS=--minutes 60, --seed N)
	@$(BIN)/python -m tests.simulation $(ARGS)

# Seconds per target; ARGS is passed to libFuzzer. The extended corpus and the findings are in build/fuzzing.
FUZZ_SECONDS ?= 900
FUZZ_TARGETS ?= decode event redact join

fuzz-coverage: $(READY) ## fuzz decoding, events, redaction and joins by coverage for an hour (FUZZ_SECONDS=900)
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/python -m pip install --quiet --editable '.[fuzz]'
	@for target in $(FUZZ_TARGETS); do \
	  mkdir -p build/fuzzing/$$target; \
	  $(BIN)/python -m tests.fuzzing $$target -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -timeout=20 \
	    -rss_limit_mb=1500 -artifact_prefix=build/fuzzing/$$target- -dict=tests/fuzzing/words.dict $(ARGS) \
	    build/fuzzing/$$target tests/fuzzing/corpus/$$target || exit 1; \
	done

mutate: $(READY) ## introduce small errors into scorers and roll-ups, list those that no test detects (ARGS=scorers.binary)
	@$(BIN)/python -m tests.mutation $(ARGS)

faults: $(READY) ## inject faults: every acknowledged event must be stored exactly once (ARGS=row ...)
	@$(BIN)/python -m bench.faults $(ARGS)

lint: $(READY) ## run ruff, its formatter, mypy and the check of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY) ## fix and format the code with ruff
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) ## compare the logger with what limits it; write docs/performance.md and its plots
	@$(BIN)/python -m bench.speed --write $(ARGS)

bench-first: $(READY) ## send 6,000 events over HTTP, compared with one _update?refresh=true per event
	@$(BIN)/python -m bench.first $(ARGS)

bench-writes: $(READY) ## measure the engine's cost of three ways of writing
	@$(BIN)/python -m bench.writes $(ARGS)

bench-cost: $(READY) ## measure what a prediction costs; write the table of `size` and docs/scaling.md (ARGS=--before COMMIT)
	@$(BIN)/python -m bench.cost --write $(ARGS)

bench-ordinary: $(READY) ## measure costs and latencies in ordinary traffic (ARGS=--before COMMIT)
	@$(BIN)/python -m bench.ordinary $(ARGS)

bench-floor: $(READY) ## measure the least that ordinary traffic costs the engine; write the table of docs/scaling.md
	@$(BIN)/python -m bench.floor --write $(ARGS)

bench-coverage: $(READY) ## simulate the coverage of a report's intervals; write docs/intervals.md
	@$(BIN)/python -m bench.coverage --write $(ARGS)

bench-selection: $(READY) ## simulate feedback that is not a random part of the predictions; write the table of docs/selection.md
	@$(BIN)/python -m bench.selection --write $(ARGS)

bench-type-one: $(READY) ## simulate how often compare errs; write the table of docs/report.md (ARGS=--power: that of the power)
	@$(BIN)/python -m bench.type_one --write $(ARGS)

bench-report: $(READY) ## measure the commands over 100,000 documents
	@$(BIN)/python -m bench.report $(ARGS)

screencast: $(READY) ## record the demo as an animated picture: docs/demo.svg
	@$(BIN)/python -m tests.screencast $(ARGS)

screenshots: $(READY) ## take the screenshots of docs/page.md: an engine, a server, two models of four data sets, Chromium
	@$(BIN)/python -m tests.screenshots $(ARGS)

image-check: $(READY) ## build and run the Dockerfile with buildah, without Docker (needs root, buildah, debootstrap)
	@$(BIN)/python -m tests.release.image_check

kube-check: $(READY) ## check manifests, chart and Knative on a real API server (first needs Go and half an hour; ARGS=--only TEXT)
	@$(BIN)/python -m tests.cluster $(ARGS)

docs: $(READY) ## generate the pages that come from the code
	$(BIN)/request-logger settings > docs/settings.md
	$(BIN)/request-logger reference commands > docs/commands.md
	$(BIN)/request-logger reference fields > docs/fields.md
	$(BIN)/request-logger reference telemetry > docs/telemetry.md
	$(BIN)/request-logger reference writer > docs/writer.md
	$(BIN)/request-logger reference chart > chart/values.schema.json
	$(BIN)/request-logger reference alerts > k8s/common/prometheus-rule.yaml
	$(BIN)/request-logger dashboards
	$(BIN)/python -m tests.design

docs-site: $(READY) ## build the site of docs/ in build/site (ARGS=serve: serve it with live reload)
	$(BIN)/mkdocs $(if $(ARGS),$(ARGS),build --strict)

dist: $(READY) ## build the wheel and the sdist in dist/
	$(BIN)/python -m build --quiet

sbom: $(READY) ## list the packages in the image: dist/sbom.json (CycloneDX)
	@mkdir -p dist
	$(BIN)/cyclonedx-py requirements requirements.lock --output-reproducible --output-file dist/sbom.json

licences: $(READY) ## list the licences of the packages in requirements.lock in dist/licences.md
	@mkdir -p dist
	$(BIN)/pip-licenses --packages $(LOCKED) --with-urls --format markdown --output-file dist/licences.md \
	  --partial-match --fail-on "$(FORBIDDEN)"

audit: $(READY) ## look up known vulnerabilities of the packages in requirements.lock
	$(BIN)/python .ci/audit

lock: ## pin the latest versions that setup.cfg allows (needs uv)
	@command -v uv >/dev/null || { echo "make lock needs uv: pip install uv" >&2; exit 2; }
	uv pip compile setup.cfg --quiet --upgrade --universal --python-version 3.11 --no-emit-index-url \
	  --extra kafka --extra otlp --custom-compile-command "make lock" --output-file requirements.lock
	uv pip compile setup.cfg --quiet --upgrade --universal --python-version 3.11 --no-emit-index-url --extra dev \
	  --constraint requirements.lock --custom-compile-command "make lock" --output-file requirements-dev.lock

clean: ## remove .venv and tool caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
