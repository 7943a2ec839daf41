python = .venv/bin/python

.PHONY: setup test torture coverage lint smoke report docs notebook
setup: $(python) # the environment

test: $(python) # the tests that are not slow
	$(python) -m pytest

torture: $(python) # kills, faults, long trainings, benchmarks, and tens of thousands of damaged inputs; at most an hour
	$(python) -m pytest -m torture

coverage: $(python) # the lines that no test runs; a third more time than the tests alone
	$(python) -m pytest --cov --cov-report=
	$(python) -m pytest -m slow --cov-append --cov-report=term:skip-covered

lint: $(python) # lint, format, types
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/pyright

smoke: $(python) # the main job for two epochs, in a folder that is removed
	runs=$$(mktemp -d) && trap 'rm -rf "$$runs"' EXIT && \
	$(python) train.py --mode infobigbigan --dataset digits --preset quick --epochs 2 --runs-dir "$$runs"

report: $(python) # docs/report.* and docs/report.fa.*: Markdown, HTML and PDF
	$(python) -m studies.report

notebook: $(python) # docs/quickstart.html, the notebook with its outputs
	$(python) -m jupyter nbconvert --execute --to html \
	  --HTMLExporter.mathjax_url= --HTMLExporter.require_js_url= docs/quickstart.ipynb

docs: docs/scores.md
docs/scores.md: metrics/catalogue.py | $(python)
	$(python) -m metrics.catalogue > $@

$(python):
	python3 -m venv .venv && .venv/bin/pip install -q -r requirements-dev.txt
