"""The benchmarks' helper and the page of `make bench`: its form and its goals, never its times."""

import json
import re
from dataclasses import replace

import pytest

from benchmarks import _timing
from benchmarks._timing import GOALS, Row, compare, number, table, turns, verdict
from tools.project import bench
from tools.project.run_all import scripts

RUNS = bench.records()
SAID = [(run.machine, row) for run in RUNS for row in run.rows if row.ratio is not None]


def test_page_is_written_from_the_records_and_says_where_and_when():
    assert bench.page(RUNS) == bench.PAGE.read_text(encoding="utf-8"), "run `python -m tools.project.bench --page`"
    assert len(RUNS) >= 2, "the ratios of one machine alone"
    for run in RUNS:
        assert set(run.facts) == {"Processor", "Instructions", "System", "Versions", "Date", "Load", "Scripts"}
        assert re.match(r"\d{4}-\d\d-\d\d", run.facts["Date"])
        assert "torch 2" in run.facts["Versions"]
        assert "avx2" in run.facts["Instructions"] or run.facts["Instructions"] == "unknown"
    named = {name for run in RUNS for name in re.findall(r"`(\w+)`", run.facts["Scripts"])}
    known = {script.stem for script in scripts("benchmarks")}
    assert named <= known
    waiting = re.search(r"Written since, and .*: (.*)\.", bench.page(RUNS))
    assert known - named == set(re.findall(r"\w+", waiting[1]) if waiting else ())


def test_goals_and_reasons_are_of_questions_that_a_run_asks():
    asked = {(row.question, row.sides) for run in RUNS for row in run.rows}
    named = {(q, sides) for script in GOALS.values() for q, entries in script.items() for sides in entries}
    assert not named - asked
    assert all(
        set(entry) <= {"goal", "why"} for script in GOALS.values() for q in script.values() for entry in q.values()
    )


@pytest.mark.parametrize(("machine", "row"), SAID, ids=lambda part: getattr(part, "sides", part))
def test_a_committed_ratio_is_within_its_goal_and_below_one_or_the_page_says_why(machine, row):
    assert row.low <= row.ratio <= row.high
    late = verdict(row) == "missed" or float(number(row.ratio)) > 1
    assert row.why or not late, f"{machine}: {row.question}: {row.sides} is {row.ratio:.3f}, goals.toml has no reason"


def test_the_verdict_is_on_the_number_that_is_printed(monkeypatch):
    monkeypatch.setitem(GOALS, "x", {"q": {"ours / theirs": {"goal": 0.12}}})
    for ratio, printed, said in ((0.12, "0.120", "met"), (0.1204, "0.120", "met"), (0.121, "0.121", "missed")):
        row = Row("q", "ours", "theirs", ratio, ratio, ratio)
        assert f"| {printed} |" in table([row])
        assert verdict(row) == said


def test_a_run_is_kept_for_its_kind_of_machine_and_the_page_has_a_column_for_each(tmp_path, monkeypatch):
    monkeypatch.setitem(GOALS, "x", {"q, 20 x 5": {"ours / theirs": {"goal": 0.3, "why": "it must"}}})
    first = Row("q, 20 x 5", "ours", "theirs", 0.25, 0.2, 1.5, 12.0, "1 thread")
    second = Row("c", "ours", "x", note="not run: x")
    facts = {"Processor": "Intel(R) Xeon(R) Processor, 2 cores", "Instructions": "avx2: yes, amx_bf16: no"}
    bench.keep(bench.Results(facts | {"Date": "2026-01-01"}, [first], ["`x.py` failed: why"]), tmp_path)
    facts["Instructions"] = "avx2: yes, amx_bf16: yes"
    for ratio in (0.1, 0.35):  # the later run replaces the earlier one
        changed = replace(first, ratio=ratio)
        bench.keep(bench.Results(facts | {"Date": "2026-01-02"}, [changed, second]), tmp_path)
    runs = bench.records(tmp_path)
    assert [run.machine for run in runs] == ["Intel Xeon, amx_bf16", "Intel Xeon, avx2"]
    assert runs[0].rows == [changed, second]
    text = bench.page(runs)
    assert "| question | ours / theirs | goal | Intel Xeon, amx_bf16 | Intel Xeon, avx2 |" in text
    cells = "0.350, missed<br>0.200 to 1.50 | 0.250<br>0.200 to 1.50"
    assert f"| q, 20 x 5 | ours / theirs<br><small>1 thread; it must</small> | 0.3 | {cells} |" in text
    assert "| c | ours / x<br><small>not run: x</small> | – | – | – |" in text
    assert "- `x.py` failed: why, on Intel Xeon, avx2" in text


def test_rows_of_one_script_take_their_place_in_the_record():
    old = {"Date": "2026-01-01", "Load": "0.1 at the start; 1 is our own", "Scripts": "`a` 5 s, `c` 7 s"}
    new = {"Date": "2026-01-02", "Load": "0.3 at the start; 1 is our own", "Scripts": "`b` 9 s, `c` 8 s"}
    first, second, third = (Row(name, "ours", "theirs", 0.5, 0.5, 0.5) for name in "acb")
    run = bench.merged(bench.Results(old, [first, second]), bench.Results(new, [third, replace(second, ratio=0.4)]))
    assert run.rows == [first, replace(second, ratio=0.4), third]
    assert run.facts["Scripts"] == "`a` 5 s, `b` 9 s, `c` 8 s"
    assert run.facts["Load"] == old["Load"] + "; `b, c` alone, on 2026-01-02: 0.3 at the start"


def test_ratios_are_taken_within_a_turn_and_turns_go_forwards_and_backwards():
    row = compare({"ours": [1.0, 2.0, 9.0], "theirs": [2.0, 8.0, 10.0]}, "q", "ours", "theirs")
    assert (row.ratio, row.low, row.high, row.ours_ms) == (0.5, 0.25, 0.9, 2000.0)
    assert compare({"ours": [1.0]}, "q", "ours", "theirs").note == "not run: theirs"
    order = []
    sides = {name: lambda name=name: order.append(name) or float(len(order)) for name in "ab"}
    times = turns(sides, 2)
    assert order == ["a", "b", "a", "b", "b", "a"]
    assert times == {"a": [3.0, 6.0], "b": [4.0, 5.0]}


def test_a_peer_that_cannot_be_imported_is_a_line_and_rows_go_where_they_are_asked_for(tmp_path, monkeypatch, capsys):
    assert _timing.peer("absent", lambda: __import__("no_such_library")) is None
    assert "left out: absent (ModuleNotFoundError" in capsys.readouterr().out
    monkeypatch.setenv(_timing.ROWS, str(tmp_path / "rows.json"))
    _timing.report([Row("q", "ours", "theirs", 0.5, 0.4, 0.6)])
    assert json.loads((tmp_path / "rows.json").read_text())[0]["ratio"] == 0.5


SCRIPTS = [("raise SystemExit('no data')", 600, "`s.py` failed: no data"), ("print('a table of its own')", 600, "")]
SCRIPTS += [("import time; time.sleep(600)", 0.5, "`s.py` took more than 0.5 s")]


@pytest.mark.parametrize(("text", "limit", "expected"), SCRIPTS)
def test_a_script_that_fails_is_a_line(tmp_path, monkeypatch, text, limit, expected):
    monkeypatch.setattr(bench, "OUTPUT", tmp_path)
    monkeypatch.setattr(bench, "LIMIT", limit)
    (tmp_path / "s.py").write_text(text)
    assert bench.run(tmp_path / "s.py", []) == ([], expected)
