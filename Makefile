.PHONY: report
report: .venv/bin/python # docs/report.md, docs/report.html and docs/report.pdf
	.venv/bin/python -m studies.report

.venv/bin/python:
	python3 -m venv .venv && .venv/bin/pip install -q -r requirements-dev.txt
