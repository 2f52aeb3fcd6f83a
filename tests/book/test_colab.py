"""Every notebook in a simulated Colab, compared strictly; one runs the bootstrap cell for real, for all."""

import os
import re
import subprocess

import pytest
from nbformat import v4
from sample_notebook import code, stdout, write

from tools.notebooks import colab, execute, green, stability
from tools.project import address

HERE = address.read()
NOTEBOOKS = execute.notebooks()


@pytest.fixture(scope="session")
def mirror(tmp_path_factory):
    """The working tree as the repository that the bootstrap cell installs from."""
    colab.prepare()
    return colab.snapshot(colab.ROOT, tmp_path_factory.mktemp("mirror") / "book.git", HERE.tag)


def test_a_shaken_run_has_to_print_what_the_notebook_prints(installed, mirror, tmp_path):
    draw = "import torch\nx = float(torch.rand(1, generator=torch.Generator().manual_seed(0), dtype=torch.float64))"
    chaos = "for _ in range(60):\n    x = 4 * x * (1 - x)\nprint(f'{x:.3f}')"  # doubles a difference at each step
    scope = {}
    exec(f"{draw}\n{chaos.replace('print', 'y = str')}", scope)
    cells = [v4.new_markdown_cell("# Chaos"), code(HERE.bootstrap), code(draw), code(chaos, stdout(scope["y"] + "\n"))]
    path = write(tmp_path, v4.new_notebook(cells=cells), "chaos.ipynb")
    for shaken in (False, True):
        (room := tmp_path / str(shaken)).mkdir()
        run = colab.run(path, mirror, room, session=installed[1], shaken=shaken)
        assert run.passed != shaken, run.log


SOURCE = "from importlib import metadata, resources\n\nimport course_utils"
LINES = "print(metadata.version('course-utils'))\nplaces = ('figs', 'assets/demos/frame.js', 'serving/page.html')\n"
LINES += "print(all((resources.files(course_utils) / place).exists() for place in places))"


def small_notebook(folder):
    """A notebook that installs the package, uses what the wheel carries, and prints its version."""
    version = re.search(r'(?m)^version = "(.+)"', (colab.ROOT / "pyproject.toml").read_text())[1]
    used = code(LINES, stdout(f"{version}\nTrue\n"))
    cells = [v4.new_markdown_cell("# Small"), code(HERE.bootstrap), code(SOURCE), used]
    (folder / "room").mkdir()
    return write(folder, v4.new_notebook(cells=cells), "small.ipynb")


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
    assert "nbval" not in run.before, "it holds what Colab has, not what the project's tests need"


@pytest.mark.parametrize(("redirect", "tag", "said"), [(0, HERE.tag, "No module named"), (1, "v99.0.0", "v99.0.0")])
def test_without_the_redirect_and_with_a_wrong_release_it_fails(mirror, tmp_path, redirect, tag, said):
    small = small_notebook(tmp_path)
    small.write_text(small.read_text().replace(f"@{HERE.tag}", f"@{tag}"))
    run = colab.run(small, mirror if redirect else None, tmp_path / "room")
    assert not run.passed
    assert "course-utils" not in run.after
    assert said in run.log


def test_a_changed_or_removed_package_is_named():
    run = colab.Run(True, "", {"numpy": "2.0", "torch": "2.9"}, {"numpy": "1.9", "course-utils": "0.1"})
    assert run.changed == ["numpy 2.0 -> 1.9", "torch 2.9 -> None"]


DEEDS = {
    "from pathlib import Path\nn = Path('left.txt').write_text('x')": ["writes a file", "leaves left.txt"],
    "import subprocess\ndone = subprocess.run(['true'])": ["starts a program"],
    "import socket\nsocket.socket().bind(('127.0.0.1', 0))": ["listens at"],
    "import urllib.request\nfrom contextlib import suppress\nwith suppress(OSError):\n"
    "    urllib.request.urlopen('http://192.0.2.1', timeout=0.1)": ["opens a connection to"],
    "import socket\nfrom contextlib import suppress\nwith suppress(OSError):\n"
    "    socket.create_connection(('192.0.2.1', 80), 0.1)": ["asks another machine, 192.0.2.1"],
    "import numpy as np\nnp.save('left.npy', np.ones(2))": ["writes a file", "leaves left.npy"],
}
SERVED = """from course_utils.serving import Service
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"here"})
service = Service(app)
print(service.ask("/"))
service.stop()"""


def test_what_a_cell_does_beside_computing_is_named(installed, mirror, tmp_path):
    cells = [v4.new_markdown_cell("# Deeds"), code(HERE.bootstrap), *(code(source) for source in DEEDS)]
    cells += [code("import multiprocessing\nimport tempfile\nimport torch"), code("print(1)", stdout("1\n"))]
    cells += [code(SERVED, stdout("here\n"))]  # a service of the package's own, which a cell may start and ask
    path = write(tmp_path, v4.new_notebook(cells=cells), "deeds.ipynb")
    run = colab.run(path, mirror, tmp_path, session=installed[1])
    assert run.passed, run.log
    words = [word for words in DEEDS.values() for word in words]
    assert all(any(word in deed for deed in run.deeds) for word in words), run.deeds
    assert len(run.deeds) == len(words), run.deeds


def test_snapshot_holds_uncommitted_work_and_no_ignored_files(tmp_path):
    (tmp_path / "tree").mkdir()
    for name, text in {"new.txt": "x", ".gitignore": "*.log\n", "run.log": "x"}.items():
        (tmp_path / "tree" / name).write_text(text)
    bare = colab.snapshot(tmp_path / "tree", tmp_path / "bare.git", "v1")
    command = ["git", f"--git-dir={bare}", "ls-tree", "-r", "--name-only", "v1"]
    assert subprocess.check_output(command, text=True).split() == [".gitignore", "new.txt"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.relative_to(colab.ROOT).as_posix())
def test_notebook(notebook, mirror, installed, tmp_path):
    if missing := execute.missing_data(notebook):
        pytest.skip(f"{missing} is not on this machine: set COURSE_DATA_DIR")
    if missing := execute.missing_tool(notebook):
        if os.environ.get("CI"):
            pytest.fail(f"chapter 16 must run in CI: {missing}")
        pytest.skip(missing)
    if not green.left("colab", [notebook]):
        pytest.skip("what it runs has not changed since it was green here")
    shaken = notebook.parent.name == stability.ONCE
    record = None if shaken else stability.record_file(notebook)
    run = colab.run(notebook, mirror, tmp_path, session=installed[1], record=record, shaken=shaken)
    assert run.passed, run.log
    assert run.after == run.before, "a notebook installed or changed packages"
    assert not run.deeds, "a notebook computes and prints, and leaves the rest alone"
    green.passed("colab", [notebook])
