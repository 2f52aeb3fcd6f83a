"""A notebook is left out when nothing that it runs has changed, and never in CI."""

import sample_notebook as sample

from tools.notebooks import execute, green


def changed(path, change):
    notebook = execute.read(path)
    change(notebook)
    path.write_text(execute.nbformat.writes(notebook), encoding="utf-8")
    return path


def test_only_what_runs_counts_and_each_judge_for_itself(tmp_path, monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    path, marks = sample.written(tmp_path / "03_small.ipynb", "k = 2", "print(k)"), tmp_path / "marks"
    assert green.left("knobs", [path], marks) == [path]
    green.passed("knobs", [path], marks)
    assert green.left("knobs", [path], marks) == []
    assert green.left("shaken", [path], marks) == [path]
    changed(path, lambda notebook: notebook.cells.append(execute.nbformat.v4.new_markdown_cell("prose")))
    assert green.left("knobs", [path], marks) == []
    monkeypatch.setenv("CI", "true")
    assert green.left("knobs", [path], marks) == [path]
    monkeypatch.delenv("CI")
    first = next(n for n, cell in enumerate(execute.read(path).cells) if cell.cell_type == "code")
    for change in ({"source": "k = 3"}, {"outputs": [sample.stdout("2\n")]}, {"metadata": {"tags": ["moves"]}}):
        green.passed("knobs", [path], marks)
        changed(path, lambda notebook, change=change: notebook.cells[first].update(change))
        assert green.left("knobs", [path], marks) == [path], change


def test_the_package_the_tables_the_lock_and_the_processor_count(tmp_path, monkeypatch):
    path = sample.written(tmp_path / "03_small.ipynb", "k = 2")
    before = green.key(path)
    for name in ("src/course_utils/ranking.py", "results/ch20_league.csv", "requirements.lock"):
        assert any(green.ROOT / name in green.ROOT.glob(pattern) for pattern in green.SHARED), name
    monkeypatch.setattr(green.bench, "processor", lambda: ("another", "avx2: no"))
    green._shared.cache_clear()
    assert green.key(path) != before
    green._shared.cache_clear()
