"""What is tried on a Python without torch: it must see what does not compile and what does not import."""

from pathlib import Path

from tools.project import without_torch


def test_every_source_compiles_without_a_warning():
    count, wrong = without_torch.compile_all()
    assert wrong == []
    assert count > 1000  # the code cells are among them


def test_what_does_not_compile_is_named(monkeypatch):
    bad = [("a.py", "x = = 1"), ("b.ipynb, cell 3", r"'\d'"), ("c.py", "await x"), ("d.py", "x = 1")]
    monkeypatch.setattr(without_torch, "sources", lambda: iter(bad))
    count, wrong = without_torch.compile_all()
    assert count == 4
    assert [line.partition(":")[0] for line in wrong] == ["a.py", "b.ipynb, cell 3"]


def test_modules_are_sorted_by_what_they_ask_for(tmp_path, monkeypatch):
    package = tmp_path / "toy_package"
    package.mkdir()
    texts = {
        "__init__": "",
        "light": "import json",
        "heavy": "import pyspark.nothing.of_the_kind",
        "wrong": "1 / 0",
    }
    for name, text in (texts | {"lost": "import no_such_module"}).items():
        (package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(without_torch, "HEAVY", {"pyspark"})
    light, heavy, wrong = without_torch.import_all(package)
    assert light == ["toy_package", "toy_package.light"]
    assert heavy == ["toy_package.heavy"]
    assert [line.partition(":")[0] for line in wrong] == ["toy_package.lost", "toy_package.wrong"]


def test_a_test_file_that_imports_torch_is_left_out(tmp_path):
    file = tmp_path / "test_x.py"
    for text, asks in (
        ("import torch", True),
        ("from torch.nn import Linear", True),
        ("from course_utils.models import embedding_mf", True),
        ("from course_utils.models.embedding_mf import MatrixFactorization", True),
        ("from course_utils.data import splits", False),
        ("def test():\n    import torch", False),
    ):
        file.write_text(text)
        assert without_torch.asks_for(Path(file), {"torch", "course_utils.models.embedding_mf"}) is asks, text
