"""Everything that must hold, stage by stage, and what each stage cost: ``make test`` and CI call it.

All stages run even when one fails, so that a single run shows all there is to mend. Name stages to run only them:
``python -m tools.project.run_tests unit pages``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from tools.notebooks import execute

ROOT = Path(__file__).resolve().parents[2]
PYTEST = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
CODE = ["src", "tests", "tools", "experiments", "benchmarks", "figs", "notebooks"]

# stage -> commands; the order matters: slides before the book that links them, the book before its pages are opened
STAGES: dict[str, list[list[str]]] = {
    "data": [[sys.executable, "-m", "course_utils.data"]],
    "lint": [
        [sys.executable, "-m", "ruff", "check", *CODE],
        [sys.executable, "-m", "ruff", "format", "--check", *CODE[:-1]],
        [sys.executable, "-m", "tools.project.address", "check"],
    ],
    "unit": [[*PYTEST, "tests", "--ignore=tests/book", "-n", "2"]],
    "colab set-up": [[sys.executable, "-m", "tools.notebooks.colab", "prepare"]],
    "notebooks": [
        [
            *PYTEST,
            *(f"tests/book/test_{name}.py" for name in ("notebook_rules", "nbval_strict", "book_sections")),
            "-n",
            "2",
        ],
        [*PYTEST, "tests/book/test_colab.py", "-n", "2", "--dist", "worksteal"],
    ],
    "stability": [[sys.executable, "-m", "tools.notebooks.stability", "--quick"]],
    "slides": [[sys.executable, "-m", "tools.slides.build"], [*PYTEST, "tests/book/test_slides.py", "-n", "2"]],
    "book": [[sys.executable, "-m", "tools.book.build"], [*PYTEST, "tests/book/test_build.py"]],
    "pages": [
        [*PYTEST, *(f"tests/book/test_{name}.py" for name in ("pages", "live_figures", "service_page")), "-n", "2"]
    ],
}
# what is tried once a week: each notebook under all disturbances, one experiment, the printed book, the lowest
# versions, other Pythons, and each assignment built by otter-grader, which has to give its solution full marks
DEEP: dict[str, list[list[str]]] = {
    "all disturbed": [[sys.executable, "-m", "tools.notebooks.stability"]],
    "all knobs": [[sys.executable, "-m", "tools.notebooks.knobs", "--each"]],
    "tables": [[sys.executable, "-m", "tools.project.results"]],
    "print": [
        [sys.executable, "-m", "tools.project.environment", "print"],
        [sys.executable, "-m", "tools.book.build"],
        [sys.executable, "-m", "tools.book.print", "--pdf", "--epub"],
        [*PYTEST, "tests/book/test_print.py"],
    ],
    "oldest": [[sys.executable, "-m", "tools.project.environment", "try-oldest"]],
    "pythons": [[sys.executable, "-m", "tools.project.environment", "pythons"]],
    "assignments": [[sys.executable, "-m", "tools.teaching.assignments"]],
}


def main(names: list[str]) -> int:
    """Run the named stages, all of ``make test`` when none is named; return the number that failed."""
    stages = STAGES | DEEP
    names = [stage for name in names for stage in (DEEP if name == "deep" else [name])]
    unknown = set(names) - set(stages)
    if unknown:
        raise SystemExit(f"unknown stage(s) {sorted(unknown)}; there are {[*stages, 'deep']}")
    environment = os.environ | {
        **execute.ENVIRONMENT,  # two processes with one thread each
        "COURSE_BOOK_BUILT": "1",
        "PYTHONPATH": str(ROOT),
    }
    rows = []
    for stage in names or STAGES:
        print(f"\n==== {stage}", flush=True)
        start = time.perf_counter()
        codes = [subprocess.run(command, cwd=ROOT, env=environment).returncode for command in stages[stage]]
        rows.append((stage, time.perf_counter() - start, not any(codes)))
    print("\nstage          seconds  result")
    for stage, seconds, passed in rows:
        print(f"{stage:<14} {seconds:7.1f}  {'ok' if passed else 'FAILED'}")
    failed = sum(not passed for _, _, passed in rows)
    print(f"{'total':<14} {sum(row[1] for row in rows):7.1f}\n\n{len(rows) - failed} passed, {failed} failed")
    return failed


if __name__ == "__main__":
    raise SystemExit(min(main(sys.argv[1:]), 1))
