"""The benchmarks' helper and the page of `make bench`: its form, never its times."""

import json
import re

import pytest

from benchmarks import _timing
from benchmarks._timing import Row, compare, read_table, table, turns, verdict
from tools.project import bench
from tools.project.run_all import scripts

CG, EXACT = (f"implicit ALS, {how}, an iteration" for how in ("two steps of CG", "exact"))
SCORES, DLRM, LIGHTGCN = (
    "scores to NDCG, MAP, recall at 10",
    "DLRM, a training step of Criteo's shape",
    "LightGCN, an epoch, MovieLens-100K",
)
GOALS = {  # script -> (question, theirs) -> the largest ratio that the book accepts
    "als": {
        (f"{CG}, MovieLens-100K", "implicit"): 0.6,
        (f"{CG}, 20,000 x 5,000, 1,000,000 entries", "implicit"): 0.75,
        (f"{EXACT}, MovieLens-100K", "implicit"): 0.5,
        (f"{EXACT}, 20,000 x 5,000, 1,000,000 entries", "implicit"): 0.5,
    },
    "metrics": {
        (f"{SCORES}, 20,000 x 5,000", "ranx"): 0.12,
        (f"{SCORES}, 20,000 x 5,000", "torch.topk"): 1.3,
        (f"{SCORES}, 943 x 1,682", "ranx"): 0.3,
    },
    "dlrm": {
        (DLRM, "bags, sparse, SGD"): 0.9,
        (DLRM, "bags, dense, Adagrad"): 0.3,
        (DLRM, "ours, SGD"): 0.65,
    },
    "graph": {(LIGHTGCN, "RecBole"): 0.3, (LIGHTGCN, "PyG, edge_index"): 0.1},
}


def committed():
    return bench.PAGE.read_text(encoding="utf-8")


def test_page_is_in_the_tools_own_form():
    assert bench.page(bench.read_page(committed())) == committed(), "run `make bench`; the page is not edited"


def test_page_says_where_and_when():
    facts = bench.read_page(committed()).facts
    assert set(facts) == {"Processor", "Instructions", "System", "Versions", "Date", "Load", "Scripts"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", facts["Date"])
    assert "torch 2" in facts["Versions"]
    assert "avx2" in facts["Instructions"] or facts["Instructions"] == "unknown"
    missing = {script.stem for script in scripts("benchmarks")} - set(
        re.findall(r"`(\w+)`", facts["Scripts"])
    )
    assert missing <= {"growth"}, f"not on the page: {missing}"


def test_every_goal_is_on_the_page_unless_it_says_that_the_script_was_not_run():
    results = bench.read_page(committed())
    rows = {(row.question, row.theirs): row for row in results.rows if row.goal}
    failed = {re.match(r"`(\w+)\.py` ", line)[1] for line in results.failed}
    wanted = {
        place: goal for name, goals in GOALS.items() if name not in failed for place, goal in goals.items()
    }
    assert {place: row.goal for place, row in rows.items()} == wanted
    for row in rows.values():
        assert row.ratio is None or row.low <= row.ratio <= row.high


@pytest.mark.parametrize(
    ("ratio", "printed", "said"),
    [(0.12, "0.120", "met"), (0.1204, "0.120", "met"), (0.121, "0.121", "missed")],
)
def test_the_verdict_is_on_the_number_that_is_printed(ratio, printed, said):
    row = Row("q", "ours", "theirs", ratio, ratio, ratio, 0.12)
    assert f"| {printed} |" in table([row])
    assert verdict(row) == said


def test_any_table_reads_back():
    rows = [
        Row("a question, 20 x 5", "ours", "theirs", 0.25, 0.2, 1.5, 0.3, 12.0, "1 thread"),
        Row("b", "ours", "theirs", 1.158, 1.1, 1.2),
        Row("c", "ours", "theirs", goal=0.1, note="not run: theirs"),
    ]
    assert table(read_table(table(rows))) == table(rows)
    assert read_table(table(rows))[2] == rows[2]
    results = bench.Results({"Date": "2026-01-01", "Versions": "a 1, b 2"}, rows, ["`x.py` failed: why"])
    assert bench.read_page(bench.page(results)).failed == results.failed
    assert bench.page(bench.read_page(bench.page(results))) == bench.page(results)


def test_ratios_are_taken_within_a_turn():
    row = compare({"ours": [1.0, 2.0, 9.0], "theirs": [2.0, 8.0, 10.0]}, "q", "ours", "theirs", goal=0.5)
    assert (row.ratio, row.low, row.high, row.ours_ms) == (0.5, 0.25, 0.9, 2000.0)
    assert compare({"ours": [1.0]}, "q", "ours", "theirs").note == "not run: theirs"


def test_sides_take_turns_forwards_and_backwards():
    order = []
    sides = {name: lambda name=name: order.append(name) or float(len(order)) for name in "ab"}
    times = turns(sides, 2)
    assert order == ["a", "b", "a", "b", "b", "a"]
    assert times == {"a": [3.0, 6.0], "b": [4.0, 5.0]}


def test_a_peer_that_cannot_be_imported_is_a_line(capsys):
    assert _timing.peer("absent", lambda: __import__("no_such_library")) is None
    assert "left out: absent (ModuleNotFoundError" in capsys.readouterr().out


def test_rows_go_where_they_are_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv(_timing.ROWS, str(tmp_path / "rows.json"))
    _timing.report([Row("q", "ours", "theirs", 0.5, 0.4, 0.6)])
    assert json.loads((tmp_path / "rows.json").read_text())[0]["ratio"] == 0.5


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("raise SystemExit('no data')", 600, "`s.py` failed: no data"),
        ("import time; time.sleep(600)", 0.5, "`s.py` took more than 0.5 s"),
        ("print('a table of its own')", 600, ""),
    ],
)
def test_a_script_that_fails_is_a_line(tmp_path, monkeypatch, text, limit, expected):
    monkeypatch.setattr(bench, "OUTPUT", tmp_path)
    monkeypatch.setattr(bench, "LIMIT", limit)
    script = tmp_path / "s.py"
    script.write_text(text)
    assert bench.run(script, []) == ([], expected)
