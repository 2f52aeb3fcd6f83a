"""Every notebook in a simulated Colab, compared strictly.

The bootstrap cell is the same in every notebook (test_notebook_rules.py holds them to it), so it is run for real in one
small notebook, and in two that must fail; the chapters find what it installed.
"""

from __future__ import annotations

import os
import re
import subprocess

import pytest
from nbformat import v4
from sample_notebook import code, stdout

from tools.notebooks import colab, execute, stability
from tools.project import address

HERE = address.read()
NOTEBOOKS = address.notebooks()


@pytest.fixture(scope="session")
def mirror(tmp_path_factory):
    """The working tree as the repository that the bootstrap cell installs from."""
    colab.prepare()
    return colab.snapshot(colab.ROOT, tmp_path_factory.mktemp("mirror") / "book.git", HERE.tag)


def small_notebook(folder):
    """A notebook that installs the package, uses what the wheel carries, and prints its version."""
    source = "from importlib import metadata, resources\n\nimport course_utils"
    lines = (
        "print(metadata.version('course-utils'))\nprint((resources.files(course_utils) / 'figs').is_dir())"
    )
    version = re.search(r'(?m)^version = "(.+)"', (colab.ROOT / "pyproject.toml").read_text())[1]
    cells = [
        v4.new_markdown_cell("# Small"),
        code(HERE.bootstrap),
        code(source),
        code(lines, stdout(f"{version}\nTrue\n")),
    ]
    path = folder / "small.ipynb"
    path.write_text(execute.dumps(v4.new_notebook(cells=cells)), encoding="utf-8")
    (folder / "room").mkdir()
    return path


@pytest.fixture
def small(tmp_path):
    return small_notebook(tmp_path)


@pytest.fixture(scope="session")
def installed(mirror, tmp_path_factory):
    """The run of the small notebook, and the folder where its bootstrap cell installed the package."""
    folder = tmp_path_factory.mktemp("session")
    return colab.run(small_notebook(folder), mirror, folder / "room"), folder / "room"


def test_bootstrap_cell_installs_the_package_and_changes_nothing(installed):
    run, _ = installed
    assert run.passed, run.log
    assert run.changed == []
    assert "course-utils" in set(run.after) - set(run.before)
    assert "nbval" not in run.before, (
        "the environment holds what Colab has, not what the project's tests need"
    )


def test_without_the_redirect_it_fails(small, mirror, tmp_path):
    run = colab.run(small, None, tmp_path / "room")
    assert not run.passed
    assert "course-utils" not in run.after
    assert "No module named 'course_utils'" in run.log


def test_a_bootstrap_cell_that_names_a_wrong_release_fails(small, mirror, tmp_path):
    text = small.read_text()
    small.write_text(text.replace(f"@{HERE.tag}", "@v99.0.0"))
    assert small.read_text() != text
    run = colab.run(small, mirror, tmp_path / "room")
    assert not run.passed
    assert "v99.0.0" in run.log


def test_a_changed_or_removed_package_is_named():
    run = colab.Run(
        True, "", before={"numpy": "2.0", "torch": "2.9"}, after={"numpy": "1.9", "course-utils": "0.1"}
    )
    assert run.changed == ["numpy 2.0 -> 1.9", "torch 2.9 -> None"]


def test_snapshot_holds_uncommitted_work_and_no_ignored_files(tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    for name, text in {"new.txt": "x", ".gitignore": "*.log\n", "run.log": "x"}.items():
        (tree / name).write_text(text)
    bare = colab.snapshot(tree, tmp_path / "bare.git", "v1")
    listed = subprocess.run(
        ["git", f"--git-dir={bare}", "ls-tree", "-r", "--name-only", "v1"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert listed.stdout.split() == [".gitignore", "new.txt"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.relative_to(colab.ROOT).as_posix())
def test_notebook(notebook, mirror, installed, tmp_path):
    missing = execute.missing_data(notebook)
    if missing:
        pytest.skip(f"{missing} is not on this machine: set COURSE_DATA_DIR")
    if missing := execute.missing_tool(notebook):
        if os.environ.get("CI"):
            pytest.fail(f"chapter 16 must run in CI: {missing}")
        pytest.skip(missing)
    record = stability.record_file(notebook)
    run = colab.run(notebook, mirror, tmp_path, session=installed[1], record=record)
    assert run.passed, run.log
    assert run.after == run.before, "a notebook installed or changed packages"
