"""Each committed table is what the named script, as it stands, wrote; a changed number or a changed script is red."""

import datetime
import json

import pytest

from experiments import _tables
from tools.project import results
from tools.project.run_all import ROOT, scripts

RECORDS = json.loads((ROOT / "results" / "records.json").read_text(encoding="utf-8"))
MAKERS = {script.stem: script for folder in ("experiments", "benchmarks") for script in scripts(folder)}


def faults(folder, records, makers):
    """Tables that are not on record, or not as they are on record."""
    for table in sorted(folder.glob("*.csv")):
        noted = records.get(table.name)
        if noted is None:
            yield f"{table.name} has no record: run its script"
        elif noted["table"] != _tables._hash(table.read_bytes()):
            yield f"{table.name} is not what {noted['script']}.py wrote"
        elif noted["code"] != _tables.fingerprint(makers[noted["script"]]):
            yield f"{table.name} is stale: {noted['script']}.py has changed since"


def test_every_table_is_what_its_script_wrote():
    assert not list(faults(ROOT / "results", RECORDS, MAKERS))
    assert set(RECORDS) == {table.name for table in (ROOT / "results").glob("*.csv")}


CHANGES = [("csv", "0.912345", "0.957962", ["is not what"]), ("csv", "1,0.923456\n", "", ["is not what"])]
CHANGES += [("py", "SEEDS = 3", "SEEDS = 4", ["is stale"]), ("py", "three", "a comment", [])]
CHANGES += [("py", "Makes", "Writes", []), ("py", "import os", "import sys", [])]


@pytest.mark.parametrize(("kind", "old", "new", "said"), CHANGES)
def test_what_turns_a_table_red(tmp_path, kind, old, new, said):
    script, table = tmp_path / "ch99_x.py", tmp_path / "ch99_x.csv"
    script.write_text('"""Makes a table."""\n\nimport os\n\nSEEDS = 3  # three\n')
    table.write_text("seed,rmse\n0,0.912345\n1,0.923456\n")
    _tables.record(table, script)
    changed = script if kind == "py" else table
    changed.write_text(changed.read_text().replace(old, new))
    records = json.loads((tmp_path / "records.json").read_text())
    found = list(faults(tmp_path, records, {"ch99_x": script}))
    assert len(found) == len(said)
    assert all(part in fault for part, fault in zip(said, found, strict=True))


SAME = ["0,0.912345", "0,0.912346"]
OTHER = ["0,0.912348", "1,0.912345", "0,nan", "0,0.912345,1", "0,0.912345\n1,0.5"]


@pytest.mark.parametrize("now", SAME + OTHER)
def test_a_run_elsewhere_agrees_within_one_unit_of_the_last_digit(now):
    assert bool(list(_tables.changes("seed,rmse\n0,0.912345", f"seed,rmse\n{now}"))) == (now in OTHER)


def test_each_experiment_has_its_week():
    weeks = [datetime.date(2026, 1, 5) + datetime.timedelta(weeks=n) for n in range(len(scripts("experiments")))]
    assert sorted(map(results.of_the_week, weeks)) == scripts("experiments")


WRITES = """import os
from pathlib import Path

for name in ("ch01_x", "ch08_last_bits"):
    text = "model,decay,x\\nDLRM,all,0.5\\nDNN,all,0.5\\n"
    (Path(os.environ["COURSE_RESULTS"]) / f"{name}.csv").write_text(text)
"""


def test_a_run_elsewhere_is_compared_but_for_rows_that_are_there_to_move(tmp_path, monkeypatch):
    (script := tmp_path / "ch08_x.py").write_text(WRITES)
    for name in ("ch01_x", "ch08_last_bits"):
        (tmp_path / f"{name}.csv").write_text("model,decay,x\nDLRM,all,0.7\nDNN,all,0.5\n")
    monkeypatch.setattr(_tables, "COMMITTED", tmp_path)
    assert results.compare(script) == ["ch01_x.csv, row 1: DLRM,all,0.7, now DLRM,all,0.5"]
    (tmp_path / "ch08_last_bits.csv").write_text("model,decay,x\nDLRM,all,0.7\nDNN,all,0.8\n")
    assert len(results.compare(script)) == 2
