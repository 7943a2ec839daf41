PYTHON ?= .venv/bin/python

.PHONY: report
report: $(PYTHON) # docs/report.md, docs/report.html and docs/report.pdf
	$(PYTHON) -m studies.report

.venv/bin/python:
	python3 -m venv .venv && .venv/bin/pip install -q -r requirements-dev.txt
