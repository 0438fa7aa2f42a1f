# The commands of this project. `make` alone lists them.
# DATA=DIR keeps everything elsewhere; ARGS="…" is handed on to the command.

DATA ?= data
ARGS ?=
ENV := .venv/bin
PACKAGES := video_bank signaling kyc recordings tests benchmarks scripts run_server.py

.PHONY: help setup run test check bench lock

help: ## list the commands
	@grep -E '^[a-z]+: .*##' Makefile | sed -E 's/^([a-z]+):.*## /make \1\t/' | expand -t 14

setup: ## environment, locked packages, libGL, models; a second time takes a moment
	@scripts/setup.sh serve "$(DATA)"

run: setup ## set up and serve a demo bank on http://localhost:8080
	@exec $(ENV)/python run_server.py --demo --data "$(DATA)" $(ARGS)

test: ## set up what tests need and run them all; what cannot run is named at the end
	@scripts/setup.sh test "$(DATA)"
	$(ENV)/python -m pytest $(ARGS)

check: ## ruff, mypy strict, templates, locales, JavaScript types
	@scripts/setup.sh check "$(DATA)"
	$(ENV)/ruff check $(PACKAGES)
	$(ENV)/mypy $(PACKAGES)
	$(ENV)/python -m scripts.check_web

bench: setup ## every benchmark, one JSON line each
	@$(ENV)/python -m benchmarks $(ARGS)

lock: ## write requirements.txt and requirements-dev.txt anew from the .in files
	@scripts/setup.sh check "$(DATA)"
	$(ENV)/uv pip compile --quiet --universal --python-version 3.11 --upgrade \
		requirements.in --override overrides.txt -o requirements.txt
	@# requirements-hearing.txt is kept by hand: seven exact pins that the lock above leaves alone
	$(ENV)/uv pip compile --quiet --universal --python-version 3.11 --upgrade \
		requirements-dev.in -o requirements-dev.txt
