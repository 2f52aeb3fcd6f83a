# Every target makes .venv when it is missing. The logic is in tools/.
PYTHON ?= python3
RUN := .venv/bin/python

.PHONY: book pdf epub test test-deep slides slides-pdf notebooks student results assignments lab serve bench lock clean
.DEFAULT_GOAL := book

.venv/ready: requirements.lock pyproject.toml tools/project/environment.py
	$(PYTHON) -m tools.project.environment create

book: slides              ## the book, with its slides, in _build/html
	$(RUN) -m tools.book.build

.venv/print: .venv/ready
	$(RUN) -m tools.project.environment print
	touch .venv/print

pdf: .venv/print book     ## the whole book as one PDF, in _build/print
	$(RUN) -m tools.book.print --pdf

epub: .venv/print book    ## the same as EPUB
	$(RUN) -m tools.book.print --epub

test: .venv/ready         ## everything that must hold, with a table of what it cost
	$(RUN) -m tools.project.run_tests

test-deep: .venv/ready    ## what is tried once a week: other versions, other Pythons, disturbed runs
	$(RUN) -m tools.project.run_tests deep

slides: .venv/ready       ## one self-contained deck a chapter, in _build/slides
	$(RUN) -m tools.slides.build

slides-pdf: .venv/ready   ## the same as PDF (needs Chromium)
	$(RUN) -m tools.slides.build --pdf

notebooks: .venv/ready    ## run all notebooks and rewrite their committed outputs
	$(RUN) -m tools.notebooks.execute -j 2

student: .venv/ready      ## the chapters as students open them, in _build/student
	$(RUN) -m tools.notebooks.student

results: .venv/ready      ## run all experiments and rewrite results/
	$(RUN) -m tools.project.run_all experiments

assignments: .venv/ready  ## notebooks for students and their autograders, in _build/assignments
	$(RUN) -m tools.teaching.assignments

lab: .venv/ready          ## JupyterLab on the notebooks
	.venv/bin/jupyter lab notebooks

serve: .venv/ready        ## a recommender that answers, on MovieLens: a page for the browser on this machine
	$(RUN) -m course_utils.serving

bench: .venv/ready        ## time against peers, in book/benchmarks.md (never part of test)
	$(RUN) -m tools.project.bench

lock: .venv/print         ## write the versions of .venv into requirements.lock
	$(RUN) -m tools.project.environment lock

clean:                    ## remove what can be made again, but not .venv
	rm -rf _build dist build .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +
