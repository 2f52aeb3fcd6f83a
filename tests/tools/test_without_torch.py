"""What is tried on a Python without torch: it must see what does not compile and what does not import."""

import pytest

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
    texts = {"__init__": "", "light": "import json", "lost": "import no_such_module", "wrong": "1 / 0"}
    texts["heavy"] = "import pyspark.nothing.of_the_kind"
    for name, text in texts.items():
        (package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(without_torch, "HEAVY", {"pyspark"})
    light, heavy, wrong = without_torch.import_all(package)
    assert light == ["toy_package", "toy_package.light"]
    assert heavy == ["toy_package.heavy"]
    assert [line.partition(":")[0] for line in wrong] == ["toy_package.lost", "toy_package.wrong"]


ASK = ["import torch", "from torch.nn import Linear", "from course_utils.models import embedding_mf"]
ASK += ["from course_utils.models.embedding_mf import MatrixFactorization"]


@pytest.mark.parametrize("text", [*ASK, "from course_utils.data import splits", "def test():\n    import torch"])
def test_a_test_file_that_imports_torch_is_left_out(tmp_path, text):
    (tmp_path / "test_x.py").write_text(text)
    heavy = {"torch", "course_utils.models.embedding_mf"}
    assert without_torch.asks_for(tmp_path / "test_x.py", heavy) is (text in ASK)
