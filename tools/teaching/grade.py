"""Grade a folder of submissions: a row a notebook, with the points of each question.

    python -m tools.teaching.grade FOLDER [--due 2026-12-01T23:59] [--csv FILE] [--seconds 600] [--wall 3600]

FOLDER holds notebooks as they were handed in; each says itself which assignment it is. Autograders that are missing in
``_build/assignments`` are built. The table is ``FOLDER/grades.csv``, with a ``note`` of what a person has to look at: a
notebook that cannot be read or does not end, a student's number that is missing or not that of the file, a late date.
What counts is the time that a submission computes: a busy machine cuts nobody off. ``--wall`` ends one that waits.
A submission is a program. It runs here with your rights: grade in an account or a container that has nothing to lose.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

import nbformat
import psutil

from tools.teaching import assignments

ONE = """
import json, sys
from otter.api import grade_submission
found = grade_submission(sys.argv[1], sys.argv[2], quiet=True)
rows = {name: [each.score, each.possible] for name, each in found.results.items()}
open(sys.argv[3], "w").write(json.dumps(rows))
"""


def grade(
    submission: Path, built: Path = assignments.OUTPUT, seconds: float = 600, wall: float = 3600
) -> dict[str, object]:
    """One row of the table: file, student, assignment, points, of, a column a question, note."""
    row: dict[str, object] = {
        "file": submission.name,
        "student": "",
        "assignment": "",
        "points": 0,
        "of": "",
        "note": "",
    }
    try:
        notebook = nbformat.read(submission, as_version=4)
    except Exception as problem:  # not JSON, not a notebook, not text
        return row | {"note": f"cannot be read: {type(problem).__name__}"}
    name = notebook.metadata.get("otter", {}).get("assignment_name", "")
    if name not in assignments.names():
        return row | {"note": "does not say which assignment it is"}
    row |= {"assignment": name, "student": student_of(notebook)}
    autograder = built / name / "autograder.zip"
    if not autograder.exists():
        assignments.build(name, built)
    points, note = run(submission, autograder, seconds, wall)
    row |= {question: score for question, (score, _) in points.items()}
    if points:
        row |= {"points": round(sum(p[0] for p in points.values()), 4), "of": sum(p[1] for p in points.values())}
    in_name = re.findall(r"\d{3,}", submission.stem)
    if not row["student"]:
        note = "; ".join(filter(None, [note, "no student number in it"]))
    elif in_name and row["student"] not in in_name:
        note = "; ".join(filter(None, [note, "the number in it is not in the file's name"]))
    return row | {"note": note}


def student_of(notebook: nbformat.NotebookNode) -> str:
    """The number that a notebook says it is by, or nothing."""
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    found = re.search(r"(?m)^STUDENT = [\"']?(\d+)", code)
    return found[1] if found else ""


def run(submission: Path, autograder: Path, seconds: float, wall: float) -> tuple[dict[str, list[float]], str]:
    """Points and possible points by question, and what went wrong; in a process of its own that can be ended.

    Args:
        submission: the notebook.
        autograder: the zip of its assignment.
        seconds: of computing, in all its processes together.
        wall: seconds on the clock.
    """
    result = autograder.with_name(f".result-{os.getpid()}.json")
    result.unlink(missing_ok=True)
    command = [sys.executable, "-c", ONE, str(submission.resolve()), str(autograder.resolve()), str(result.resolve())]
    with tempfile.TemporaryFile("w+") as errors:  # a pipe would stay open as long as a kernel holds it
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
        begun, note = time.monotonic(), ""
        while process.poll() is None and not note:
            time.sleep(0.2)
            if computed(process.pid) > seconds:
                note = f"computed for more than {seconds:g} seconds"
            elif time.monotonic() - begun > wall:
                note = f"ran for more than {wall:g} seconds"
        if note:
            for each in family(process.pid):
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()
            process.wait()
            return {}, note
        errors.seek(0)
        said = errors.read().strip().splitlines()
    if not result.exists():
        return {}, f"cannot be graded: {said[-1][:120] if said else 'no result'}"
    points = json.loads(result.read_text(encoding="utf-8"))
    result.unlink()
    return points, ""


def family(pid: int) -> list[psutil.Process]:
    """A process and all that it started, those in sessions of their own too, as a kernel is; none if it has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        first = psutil.Process(pid)
        return [*first.children(recursive=True), first]
    return []


def computed(pid: int) -> float:
    """Seconds of processor time that a process, and all that it started, have had."""
    total = 0.0
    for each in family(pid):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            total += sum(each.cpu_times()[:4])  # its own, and of what it started and has ended
    return total


def table(
    folder: Path, due: datetime | None = None, seconds: float = 600, wall: float = 3600
) -> list[dict[str, object]]:
    """A row for each notebook of a folder; who is late is named, and loses nothing here."""
    rows = []
    for submission in sorted(folder.glob("*.ipynb")):
        row = grade(submission, seconds=seconds, wall=wall)
        handed_in = datetime.fromtimestamp(submission.stat().st_mtime)
        if due and handed_in > due:
            row["note"] = "; ".join(filter(None, [str(row["note"]), f"late: {handed_in:%Y-%m-%d %H:%M}"]))
        rows.append(row)
        print(f"{row['file']}: {row['points']} of {row['of'] or '?'}{row['note'] and ', '}{row['note']}", flush=True)
    return rows


def write(rows: list[dict[str, object]], file: Path) -> None:
    """The table as CSV, its questions in order, the note last."""
    questions = sorted({key for row in rows for key in row if re.fullmatch(r"q\d+", key)}, key=lambda key: int(key[1:]))
    columns = ["file", "student", "assignment", "points", "of", *questions, "note"]
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--due", type=datetime.fromisoformat, help="files changed later are noted as late")
    parser.add_argument("--csv", type=Path, help="where the table goes (default: FOLDER/grades.csv)")
    parser.add_argument("--seconds", type=float, default=600, help="how long one notebook may compute (default: 600)")
    parser.add_argument("--wall", type=float, default=3600, help="how long one may run by the clock (default: 3600)")
    arguments = parser.parse_args()
    found = table(arguments.folder, arguments.due, arguments.seconds, arguments.wall)
    write(found, arguments.csv or arguments.folder / "grades.csv")
    print(f"{len(found)} submissions: {arguments.csv or arguments.folder / 'grades.csv'}")
