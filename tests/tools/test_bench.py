"""The benchmarks' helper and the page of `make bench`: its form and its goals, never its times."""

import json
import re

import pytest

from benchmarks import _timing
from benchmarks._timing import GOALS, Row, compare, read_table, table, turns, verdict
from tools.project import bench
from tools.project.run_all import scripts

QUESTIONS = [(script, question) for script, asked in GOALS.items() for question in asked]
ASKED = [(script, question, sides) for script, question in QUESTIONS for sides in GOALS[script][question]]
PAGE = bench.PAGE.read_text(encoding="utf-8")


def test_page_is_in_the_tools_own_form_and_says_where_and_when():
    assert bench.page(bench.read_page(PAGE)) == PAGE, "run `make bench`; the page is not edited"
    facts = bench.read_page(PAGE).facts
    assert set(facts) == {"Processor", "Instructions", "System", "Versions", "Date", "Load", "Scripts"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", facts["Date"])
    assert "torch 2" in facts["Versions"]
    assert "avx2" in facts["Instructions"] or facts["Instructions"] == "unknown"
    named = set(re.findall(r"`(\w+)`", facts["Scripts"]))
    assert {script.stem for script in scripts("benchmarks")} - named <= {"growth", "serving"}


@pytest.mark.parametrize(("script", "question", "sides"), ASKED)
def test_the_committed_ratio_meets_its_goal(script, question, sides):
    results = bench.read_page(PAGE)
    rows = {(row.question, f"{row.ours} / {row.theirs}"): row for row in results.rows}
    row = rows.get((question, sides))
    if any(line.startswith(f"`{script}.py` ") for line in results.failed) or (row and row.ratio is None):
        pytest.skip("the page says that it was not run")
    assert row, f"goals.toml has a goal for a question that {script}.py does not ask"
    assert row.low <= row.ratio <= row.high
    assert row.ratio <= GOALS[script][question][sides], f"{script}: the committed {sides} misses its goal"


def test_the_verdict_is_on_the_number_that_is_printed(monkeypatch):
    monkeypatch.setitem(GOALS, "x", {"q": {"ours / theirs": 0.12}})
    for ratio, printed, said in ((0.12, "0.120", "met"), (0.1204, "0.120", "met"), (0.121, "0.121", "missed")):
        row = Row("q", "ours", "theirs", ratio, ratio, ratio)
        assert f"| {printed} |" in table([row])
        assert verdict(row) == said


def test_any_table_reads_back(monkeypatch):
    monkeypatch.setitem(GOALS, "x", {"a question, 20 x 5": {"ours / theirs": 0.3}, "c": {"ours / theirs": 0.1}})
    rows = [
        Row("a question, 20 x 5", "ours", "theirs", 0.25, 0.2, 1.5, 12.0, "1 thread"),
        Row("b", "ours", "theirs", 1.158, 1.1, 1.2),
        Row("c", "ours", "theirs", note="not run: theirs"),
    ]
    assert [row.goal for row in rows] == [0.3, None, 0.1]
    assert table(read_table(table(rows))) == table(rows)
    assert read_table(table(rows))[2] == rows[2]
    results = bench.Results({"Date": "2026-01-01", "Versions": "a 1, b 2"}, rows, ["`x.py` failed: why"])
    assert bench.read_page(bench.page(results)).failed == results.failed
    assert bench.page(bench.read_page(bench.page(results))) == bench.page(results)


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
