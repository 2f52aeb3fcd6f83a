"""Are the committed tables what the experiments say today? Run one experiment anew and compare all its tables.

python -m tools.project.results            -> the experiment of this week: each has its turn
python -m tools.project.results ch03_split_decides ...   -> these

The scripts write into an empty folder, and nothing committed changes. ``tests/test_results.py`` holds each table to its
record (who made it, by which code, which bytes); this holds the record to the truth.
"""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from experiments import _tables
from tools.notebooks import execute
from tools.project.run_all import ROOT, scripts

MOVES = {"ch08_last_bits.csv": ": DLRM,all,"}  # rows with other digits on another processor, which is what they show


def of_the_week(day: datetime.date) -> Path:
    """Each script in turn, week after week."""
    known = scripts("experiments")
    return known[day.toordinal() // 7 % len(known)]


def compare(script: Path) -> list[str]:
    """Run a script; what its tables say otherwise than the committed ones, a line each."""
    with tempfile.TemporaryDirectory(prefix="results-") as name:
        environment = os.environ | execute.ENVIRONMENT | {"COURSE_RESULTS": name}
        subprocess.run([sys.executable, script], cwd=ROOT, env=environment, check=True)
        found = []
        for table in sorted(Path(name).glob("*.csv")):
            committed = (_tables.COMMITTED / table.name).read_text(encoding="utf-8")
            changed = _tables.changes(committed, table.read_text(encoding="utf-8"))
            found += [f"{table.name}, {line}" for line in changed if MOVES.get(table.name, "\0") not in line]
        return found


def main(names: list[str]) -> int:
    """Compare the named experiments, or that of the week; return how many lines differ."""
    chosen = [ROOT / "experiments" / f"{name}.py" for name in names] or [of_the_week(datetime.date.today())]
    faults = []
    for script in chosen:
        print(f"== {script.name}", flush=True)
        faults += compare(script)
    print(*faults, f"{len(faults)} row(s) differ", sep="\n")
    return len(faults)


if __name__ == "__main__":
    raise SystemExit(min(main(sys.argv[1:]), 1))
