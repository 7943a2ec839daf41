PYTHON := $(or $(wildcard .venv/bin/python),python3)

.PHONY: report
report: # docs/report.md, docs/report.html and docs/report.pdf
	$(PYTHON) -m studies.report
