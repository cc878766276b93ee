# Everything a user or developer runs. `make` alone lists it.
.DEFAULT_GOAL := help
.SUFFIXES:
.PHONY: help install migrate serve demo benchmark-main-job benchmark-tutorial benchmark-plain-loop benchmark-recipes benchmark-compilation benchmark-reference benchmark-utilisation benchmark-serving benchmark-engines chaos fuzz-api fuzz-images openapi test lint types contracts audit format lock check clean

bin := .venv/bin
# Written last, so that an interrupted installation continues and a complete one costs nothing.
ready := .venv/.complete
compile := $(bin)/uv pip compile pyproject.toml --universal --python-version 3.11 \
	--generate-hashes --no-annotate --no-emit-index-url --quiet --custom-compile-command "make lock"
# Narrow a test run: make test TESTS="tests/store -k claim"
TESTS ?=

help: ## this list
	@awk -F ': .*## ' '/^[a-z0-9-]+:.*## / { printf "make %-22s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(ready): requirements.lock pyproject.toml scripts/install.sh
	@scripts/install.sh

install: $(ready) ## make .venv (Python 3.11 to 3.13, 7 GB; PYTHON=/path/to/python3 chooses one)

migrate: $(ready) ## bring the database to this version's schema (the processes also do)
	@$(bin)/python -m alembic upgrade head

serve: $(ready) ## run the API and a worker until Ctrl-C
	@$(bin)/tenfold up

demo: $(ready) ## train on CIFAR-10, report, classify a PNG (CIFAR10=/folder: images you have)
	@$(bin)/python scripts/demo.py $(if $(CIFAR10),--cifar10 "$(CIFAR10)")

benchmark-main-job: $(ready) ## the main job over HTTP beside the classic script (CIFAR10=/folder)
	@$(bin)/python benchmarks/main_job.py "$(CIFAR10)"

benchmark-tutorial: $(ready) ## recipe tutorial beside the classic script, 3 seeds (CIFAR10=/folder)
	@$(bin)/python benchmarks/tutorial.py "$(CIFAR10)"

benchmark-plain-loop: $(ready) ## recipe tutorial beside a plain loop on tensors in memory (CIFAR10=/folder)
	@$(bin)/python benchmarks/plain_loop.py "$(CIFAR10)"

benchmark-recipes: $(ready) ## a recipe over seeds: curve, time and accuracy (CIFAR10=/folder RECIPE=quick SEEDS=3)
	@$(bin)/python benchmarks/time_to_accuracy.py "$(CIFAR10)" --classic \
		--recipe $(or $(RECIPE),quick) --seeds $(or $(SEEDS),3)

benchmark-compilation: $(ready) ## torch.compile, cold and in a worker that stays up (CIFAR10=/folder)
	@$(bin)/python benchmarks/compilation.py "$(CIFAR10)"

benchmark-reference: $(ready) ## a GPU recipe beside a reference (CIFAR10=/folder REFERENCE=/script.py RECIPE=speed94)
	@$(bin)/python benchmarks/reference.py "$(CIFAR10)" --recipe $(or $(RECIPE),speed94) \
		$(if $(REFERENCE),--reference "$(REFERENCE)")

benchmark-utilisation: $(ready) ## steps beside the measured matrix-product rate (CIFAR10=/folder RECIPES=quick)
	@$(bin)/python benchmarks/utilisation.py "$(CIFAR10)" $(if $(RECIPES),--recipes $(RECIPES))

benchmark-serving: $(ready) ## predictions beside other servers, installed into CACHE=/folder; needs wrk
	@$(bin)/python benchmarks/serving.py --cache "$(or $(CACHE),$(HOME)/.cache/tenfold-peers)" \
		--seconds 2 --repeats 3

benchmark-engines: $(ready) ## what runs a network fastest here: PyTorch, ONNX Runtime; CPU or GPU
	@$(bin)/python benchmarks/engines.py

chaos: $(ready) ## break everything for an hour: 1,000 kills, each page written, 10 minutes of writers
	@TENFOLD_CHAOS=1 $(bin)/python -m pytest --capture=no --verbose tests/reliability

fuzz-api: $(ready) ## requests made from the OpenAPI document, right and wrong (SECONDS=1800)
	@$(bin)/python benchmarks/fuzz_api.py --seconds $(or $(SECONDS),1800)

fuzz-images: $(ready) ## damaged pictures through the decoder, guided by coverage (SECONDS=3600)
	@$(bin)/uv run --quiet --no-project --python $(bin)/python --with atheris==3.0.0 \
		python benchmarks/fuzz_images.py --seconds $(or $(SECONDS),60)

openapi: $(ready) ## renew docs/openapi.json after a change of the API
	@$(bin)/python scripts/openapi.py

kills: $(ready) ## kill a worker 200 times at random, and compare with runs that nobody killed (KILLS=50)
	@TENFOLD_KILLS=$(or $(KILLS),200) $(bin)/python -m pytest --capture=no tests/reliability/test_worker_kills.py -k at_random

test: $(ready) ## run the tests (TESTS="tests/store -k claim": some of them)
	@$(if $(TESTS),,scripts/install_chromium.sh)
	@$(bin)/python -m pytest $(TESTS)

lint: $(ready) ## style of Python, shell, Dockerfile and Compose files
	@$(bin)/ruff check .
	@$(bin)/ruff format --check .
	@$(bin)/shellcheck .ci/run scripts/*.sh docker/*.sh
	@$(bin)/hadolint docker/Dockerfile
	@# The override has a tag that only Compose knows; tests/docker checks it.
	@$(bin)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml

types: $(ready) ## mypy, strict
	@$(bin)/mypy
	@# Apart, because from here the folder would shadow the package of its name.
	@cd alembic && MYPYPATH=.. ../$(bin)/mypy --config-file ../pyproject.toml env.py versions

contracts: $(ready) ## who may import whom
	@$(bin)/lint-imports

audit: $(ready) ## known vulnerabilities of everything that is installed (asks the package index)
	@$(bin)/python scripts/audit.py

format: $(ready) ## rewrite the sources in house style
	@$(bin)/ruff check --fix .
	@$(bin)/ruff format .

lock: $(ready) ## renew the locks from pyproject.toml (UPGRADE=1: to the newest versions)
	@$(compile) --group dev --all-extras $(if $(UPGRADE),--upgrade) --output-file requirements.lock
	@$(compile) --constraint requirements.lock --output-file docker/requirements.lock

check: lint types contracts test ## all that must pass before a commit

clean: ## remove what can be made again; never the data folder
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
