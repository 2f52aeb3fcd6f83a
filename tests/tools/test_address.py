"""One command changes the address everywhere; what disagrees is named."""

import re

import nbformat
import pytest
from nbformat import v4
from sample_notebook import write

from tools.notebooks import execute
from tools.project import address
from tools.project.address import Address

OLD = Address("https://github.com/readers/book", "v0.1.0")
NEW = Address("https://github.com/writers/tome", "v0.2.0")
FILES = {
    "_config.yml": "title: T\nrepository:\n  url: https://github.com/readers/book\n  branch: v0.1.0 # the release\n"
    "launch_buttons:\n  branch: other\n",
    "README.md": "[Code](https://github.com/readers/book), [one](https://github.com/readers/book/blob/v0.1.0/a.py), "
    "[theirs](https://github.com/others/library).\n",
    "index.md": "[Colab](https://colab.research.google.com/github/readers/book/blob/v0.1.0/notebooks/03_a.ipynb)\n",
    "CITATION.cff": 'version: 0.1.0\nrepository-code: "https://github.com/readers/book"\n',
    "pyproject.toml": '[project]\nversion = "0.1.0"\n',
    "src/course_utils/__init__.py": '__version__ = "0.1.0"\n',
}
NOTEBOOKS = ["notebooks/03_a.ipynb", "notebooks/solutions/03_a.ipynb"]


@pytest.fixture
def root(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    for name in NOTEBOOKS:
        cells = [v4.new_markdown_cell(f"# 3. A\n\n{OLD.badge(name)}"), v4.new_code_cell(OLD.bootstrap)]
        write(tmp_path, v4.new_notebook(cells=cells), name)
    return tmp_path


def test_one_command_changes_the_address_everywhere(root):
    assert address.read(root) == OLD
    assert address.check(root) == []
    changed = address.change(NEW, root)
    assert set(changed) == {*FILES, *NOTEBOOKS}
    assert address.read(root) == NEW
    assert address.check(root) == []
    for name in changed:
        assert not re.search(r"readers/book|0\.1\.0", (root / name).read_text()), name
    assert "https://github.com/others/library" in (root / "README.md").read_text()
    assert "branch: other" in (root / "_config.yml").read_text()
    notebook = (root / "notebooks/03_a.ipynb").read_text()
    assert execute.dumps(nbformat.reads(notebook, as_version=4)) == notebook, "cell ids follow the new source"
    assert address.change(NEW, root) == []


DISAGREE = [(NOTEBOOKS[0], "blob/student-v0.1.0"), (NOTEBOOKS[0], "@v0.1.0"), (NOTEBOOKS[1], "readers")]
DISAGREE += [("README.md", "readers/book)"), ("README.md", "blob/v0.1.0"), ("index.md", "readers")]
DISAGREE += [("CITATION.cff", "readers"), ("CITATION.cff", "0.1.0"), ("pyproject.toml", "0.1.0")]
DISAGREE += [("src/course_utils/__init__.py", "0.1.0")]


@pytest.mark.parametrize(("name", "old"), DISAGREE)
def test_each_file_that_disagrees_is_named(root, name, old):
    text = (root / name).read_text()
    assert old in text
    (root / name).write_text(text.replace(old, old.replace("0.1.0", "0.0.9").replace("readers", "forgers")))
    assert {fault.partition(":")[0] for fault in address.check(root)} == {name}


@pytest.mark.parametrize("url", ["https://example.org/a/b", "https://github.com/readers", OLD.url + ".git"])
def test_only_addresses_that_colab_can_open(url):
    with pytest.raises(SystemExit, match="OWNER/NAME"):
        Address(url, "v1")


def test_the_project_names_one_address():
    assert address.check() == []
