"""Time the book's code beside its peers, print one table, and write ``book/benchmarks.md`` anew from all machines.

    python -m tools.project.bench                    # all scripts of benchmarks/, some minutes on a quiet machine
    python -m tools.project.bench als metrics        # these alone: prints their table and writes no page
    python -m tools.project.bench ease --keep        # these alone: their rows take their place in the record
    python -m tools.project.bench --repeats 1        # fewer turns than each script has by itself
    python -m tools.project.bench --page             # measures nothing: the page from the records, after a new goal

Each script runs in a process of its own and leaves its rows in ``_build/bench``. A full run is the record of its kind
of machine, ``benchmarks/machines/*.json``; the page shows all records. A script that fails, or a peer that cannot be
imported, is a line of the page. RecBole comes without the packages that it asks for, into ``_build/bench``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from itertools import groupby
from pathlib import Path

from benchmarks._timing import NONE, ROWS, Row, number, table, verdict
from tools.project.run_all import ROOT, scripts

PAGE = ROOT / "book" / "benchmarks.md"
MACHINES = ROOT / "benchmarks" / "machines"
OUTPUT = ROOT / "_build" / "bench"
RECBOLE = "recbole==1.2.1"
LIMIT = 1200  # seconds that one script may take
PACKAGES = (
    "torch",
    "numpy",
    "scipy",
    "torch-geometric",
    "implicit",
    "ranx",
    "scikit-learn",
    "scikit-surprise",
    "torchmetrics",
    "jupyter-book",
    "nbconvert",
)
INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
HEAD = """<!-- Written by `make bench` (tools/project/bench.py): edit that, not this. -->

# Benchmarks

How much time does the book's code take beside libraries that others use? Each question below has its rows. Both sides
get the same data in the same run. They take turns, so that a busy minute hits both.

A **ratio** is our time over theirs: 0.5 means half the time, 2 means twice. It is taken within one turn; the table has
the median over the turns and the range. The **goal** is the largest ratio that we accept; `benchmarks/goals.toml` holds
all goals. Times on one thread are processor time, which leaves out the waiting for other programs.

A ratio holds for one kind of machine. Another has other caches and instructions: a gain from bfloat16, for one, needs
a processor that multiplies matrices of bfloat16 (AVX-512 BF16 or AMX). So each kind has its column, with the code and
the versions of its day. A ratio that is larger than its goal says so. One above 1 has its reason below its sides.
"""
RATIOS = "<!-- ratios -->"  # the build draws them here: tools/book/ratios.py
FOOT = """
## Make it again

`make bench` measures all of it, keeps the run as the record of its kind of machine in `benchmarks/machines`, and writes
this page from all records. Let the machine do nothing else meanwhile. What each line
measures, and how the sides were made comparable, stands at the head of its script in `benchmarks/`.
"""


@dataclass
class Results:
    """What one run says.

    Attributes:
        facts: name -> value, of the machine, the versions and the run.
        rows: the questions, in the order of the scripts.
        failed: one line for each script that did not end well.
    """

    facts: dict[str, str] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @property
    def machine(self) -> str:
        """The kind of machine: its processor and the newest of the instructions of interest that it has."""
        having = re.findall(r"(\w+): yes", self.facts["Instructions"])
        return ", ".join([re.sub(r"\(\w+\)|,.*| Processor.*", "", self.facts["Processor"]), *having[-1:]])


# ---- the records and the page --------------------------------------------------------------------------------------


def records(folder: Path = MACHINES) -> list[Results]:
    """The last run of each kind of machine: first the one of most scripts, of such the newest."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    runs = [Results(each["facts"], [Row(**row) for row in each["rows"]], each["failed"]) for each in found]
    return sorted(runs, key=lambda run: (run.facts.get("Scripts", "").count(","), run.facts["Date"]), reverse=True)


def keep(run: Results, folder: Path = MACHINES) -> None:
    """The run becomes the record of its kind of machine."""
    name = re.sub(r"[^a-z0-9]+", "-", run.machine.lower()).strip("-")
    (folder / f"{name}.json").write_text(json.dumps(asdict(run), indent=1) + "\n", encoding="utf-8")


def merged(old: Results, new: Results) -> Results:
    """The old record with the rows of those scripts that ran again, and with what is known of their run."""
    fresh = {(row.question, row.sides): row for row in new.rows}
    rows = [fresh.pop((row.question, row.sides), row) for row in old.rows] + list(fresh.values())
    took = dict(re.findall(r"`(\w+)` (\d+ s)", f"{old.facts['Scripts']}, {new.facts['Scripts']}"))
    names = ", ".join(re.findall(r"`(\w+)`", new.facts["Scripts"]))
    load = "; ".join(old.facts["Load"].split("; ")[:2])
    facts = old.facts | {
        "Scripts": ", ".join(f"`{name}` {took[name]}" for name in sorted(took)),
        "Load": f"{load}; `{names}` alone, on {new.facts['Date']}: {new.facts['Load'].split('; ')[0]}",
    }
    return Results(facts, rows, old.failed + new.failed)


def page(runs: list[Results]) -> str:
    """The text of ``book/benchmarks.md``: a column for each run, the rows in the order of the first."""
    machines = [run.machine for run in runs]
    asked = {(row.question, row.sides): row for run in reversed(runs) for row in run.rows}
    order = dict.fromkeys((row.question, row.sides) for run in runs for row in run.rows)
    lines = [f"| question | ours / theirs | goal | {' | '.join(machines)} |", "|---" * (3 + len(runs)) + "|"]
    for question, keys in groupby(order, key=lambda key: key[0]):
        for place, key in enumerate(keys):
            row = asked[key]
            found = [next((r for r in run.rows if (r.question, r.sides) == key), None) for run in runs]
            goal = NONE if row.goal is None else f"{row.goal:g}"
            note = "; ".join(part for part in (row.note, row.why) if part)
            sides = f"{row.sides}<br><small>{note}</small>" if note else row.sides
            cells = ["" if place else question, sides, goal, *map(_ratio, found)]
            lines.append(f"| {' | '.join(cells)} |")
    names = dict.fromkeys(name for run in runs for name in run.facts)
    facts = [f"| {name} | {' | '.join(run.facts.get(name, NONE) for run in runs)} |" for name in names]
    parts = [HEAD, "## Ours beside theirs", "", RATIOS, "", *lines, ""]
    if failed := [f"- {line}, on {run.machine}" for run in runs for line in run.failed]:
        parts += ["Not run:", "", *failed, ""]
    run_once = {name for run in runs for name in re.findall(r"`(\w+)`", run.facts.get("Scripts", ""))}
    if waiting := [f"`{script.stem}`" for script in scripts("benchmarks") if script.stem not in run_once]:
        parts += [f"Written since, and not yet run on a quiet machine: {', '.join(waiting)}.", ""]
    parts += ["## Where and when", "", f"| what | {' | '.join(machines)} |", "|---" * (1 + len(runs)) + "|"]
    return "\n".join([*parts, *facts, FOOT])


def _ratio(row: Row | None) -> str:
    if row is None or row.ratio is None:
        return NONE
    missed = ", missed" if verdict(row) == "missed" else ""
    return f"{number(row.ratio)}{missed}<br>{number(row.low)} to {number(row.high)}"


# ---- the machine ---------------------------------------------------------------------------------------------------


def processor() -> tuple[str, str]:
    """The processor's name, and which instructions of interest it has; Linux says both, macOS the name."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        asked = ["sysctl", "-n", "machdep.cpu.brand_string"]
        done = subprocess.run(asked, capture_output=True, text=True, check=False) if sys.platform == "darwin" else None
        return (done.stdout.strip() if done else "") or platform.machine(), "unknown"
    name = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*: (.*)$", text, re.MULTILINE)
    present = flags[1].split() if flags else []
    having = [f"{name}: {'yes' if name in present else 'no'}" for name in INSTRUCTIONS]
    return name[1] if name else platform.machine(), ", ".join(having)


def versions() -> str:
    """Versions of the libraries that take part, as far as they are there."""
    found = [f"Python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            found.append(f"no {name}")
    return ", ".join(found)


# ---- the run -------------------------------------------------------------------------------------------------------


def fetch_recbole() -> None:
    """Put RecBole's files where ``benchmarks/_recbole.py`` looks for them; without a network its part is left out."""
    folder = OUTPUT / "recbole"
    if not (folder / "recbole").exists():
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", folder, RECBOLE], check=False
        )


def run(script: Path, arguments: list[str]) -> tuple[list[Row], str]:
    """The rows of a script, and one line when it failed."""
    rows = OUTPUT / f"{script.stem}.json"
    rows.unlink(missing_ok=True)
    environment = os.environ | {ROWS: str(rows), "TQDM_DISABLE": "1", "PYTHONPATH": str(ROOT)}  # book.py asks tools
    try:
        done = subprocess.run(
            [sys.executable, script, *arguments],
            cwd=ROOT,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
            timeout=LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return [], f"`{script.name}` took more than {LIMIT} s"
    print(done.stderr, end="", file=sys.stderr, flush=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return [], f"`{script.name}` failed: {last.replace('|', '/')[:200]}"
    found = json.loads(rows.read_text()) if rows.exists() else []  # a script may write a table of its own
    return [Row(**row) for row in found], ""


def measure(chosen: list[Path], arguments: list[str]) -> Results:
    """Run the scripts one after the other."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    if any("_recbole" in script.read_text(encoding="utf-8") for script in chosen):
        fetch_recbole()
    results, took, name, load = Results(), [], processor(), [os.getloadavg()[0]]
    for script in chosen:
        print(f"\n== {script.relative_to(ROOT)}", flush=True)
        begin = time.perf_counter()
        rows, failure = run(script, arguments)
        results.rows += rows
        results.failed += [failure] if failure else []
        took.append(f"`{script.stem}` {time.perf_counter() - begin:.0f} s")
        load.append(os.getloadavg()[0])
    results.facts = {
        "Processor": f"{name[0]}, {os.cpu_count()} cores",
        "Instructions": name[1],
        "System": f"{platform.system()} {platform.machine()}",
        "Versions": versions(),
        "Date": f"{datetime.now(UTC):%Y-%m-%d}",
        "Load": f"{load[0]:.1f} at the start, then {min(load[1:]):.1f} to {max(load[1:]):.1f}; 1 is our own",
        "Scripts": ", ".join(took),
    }
    return results


def main() -> int:
    """Read the command line, measure, print, write the page when all scripts ran."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="scripts of benchmarks/, without .py; all when left out")
    parser.add_argument("--repeats", type=int, help="turns of each comparison")
    parser.add_argument("--keep", action="store_true", help="the named scripts' rows go into this machine's record")
    parser.add_argument("--page", action="store_true", help="measure nothing, write the page from the records")
    options = parser.parse_args()
    if options.page:
        PAGE.write_text(page(records()), encoding="utf-8")
        return 0
    found = {script.stem: script for script in scripts("benchmarks")}
    if unknown := sorted(set(options.names) - set(found)):
        raise SystemExit(f"unknown script(s) {unknown}; there are {list(found)}")
    chosen = [found[name] for name in options.names or found]
    results = measure(chosen, ["--repeats", str(options.repeats)] if options.repeats else [])
    print(f"\n== all\n\n{table(results.rows)}\n")
    print("\n".join([*results.failed, *(f"{name}: {value}" for name, value in results.facts.items())]))
    if options.names and options.keep:
        before = [run for run in records() if run.machine == results.machine]
        results = merged(before[0], results) if before else results
    if not options.names or (options.keep and not results.failed):
        keep(results)
        PAGE.write_text(page(records()), encoding="utf-8")
        print(f"\nwritten: {PAGE}")
    return bool(results.failed)


if __name__ == "__main__":
    raise SystemExit(main())
