"""The strict comparison: what it lets pass, and that each hole of plain nbval is closed."""

from __future__ import annotations

import re
import subprocess
import sys

import nbformat
import pytest
from nbformat import v4
from sample_notebook import code, png, shown, stdout

from tools.notebooks import execute
from tools.notebooks.nbval_strict import differences, picture_difference, same_text


@pytest.mark.parametrize(
    ("before", "now", "same"),
    [
        ("rmse 0.9624", "rmse 0.9624", True),
        ("rmse 0.9624", "rmse 0.9625", True),
        ("rmse 0.9624", "rmse 0.9626", False),
        ("rmse -0.000", "rmse 0.000", True),
        ("3 users", "4 users", False),
        ("1,682 films", "1,683 films", False),
        ("1,234.5", "1,234.6", True),
        ("1,234.5", "1,234.7", False),
        ("[0.5 1.  ]", "[0.5 2.  ]", False),
        ("1.", "0.9999", True),
        ("1.20e-05", "1.21e-05", True),
        ("1.20e-05", "1.22e-05", False),
        ("1e-05", "2e-05", False),
        ("0.96", "0.9624", False),
        ("0.5", "1", False),
        ("version 3.11.7", "version 3.11.8", False),
        ("0.5 apples", "0.5 pears", False),
        ("0.5", "0.5 0.5", False),
        ("<td>0.71</td>", "<td>0.72</td>", True),
        ("nan", "0.5", False),
    ],
)
def test_numbers_in_text(before, now, same):
    assert same_text(before, now) is same


def test_glued_numbers_are_stored_in_full_and_compared_to_six_digits():
    assert same_text("0.96241234567891", "0.96241234999999", 6)
    assert not same_text("0.96241234567891", "0.96242434567891", 6)
    assert not same_text("0.96241234567891", "0.96241234999999")


def test_pictures():
    assert picture_difference(png(), png(level=0)) is None, "the same pixels, compressed otherwise"
    assert "differ" in picture_difference(png(), png(line=(0, 59, 79, 59)))
    assert "size" in picture_difference(png(), png(size=(81, 60)))


def test_pictures_alone_can_be_left_aside():
    def picture(data, alt="a"):
        return [shown({"image/png": data}, **{"image/png": {"alt": alt}})]

    other = png(line=(0, 59, 79, 59))
    assert list(differences(picture(png()), picture(other)))
    assert not list(differences(picture(png()), picture(other), pictures=False))
    assert list(differences(picture(png()), picture(other, "b"), pictures=False))
    assert list(differences(picture(png()), [stdout("0.5\n")], pictures=False))


@pytest.mark.parametrize(
    ("now", "word"),
    [
        ([], "outputs"),
        ([stdout("0.5\n"), stdout("")], "outputs"),
        ([stdout("0.7\n")], "text"),
    ],
)
def test_outputs_keep_order_number_and_text(now, word):
    found = list(differences([stdout("0.5\n")], now))
    assert len(found) == 1
    assert word in found[0]


def test_alt_text_svg_and_glue_names_are_compared():
    def picture(alt, svg="<svg/>"):
        return [shown({"image/svg+xml": svg}, **{"image/svg+xml": {"alt": alt}})]

    assert not list(differences(picture("A map"), picture("A map")))
    assert list(differences(picture("A map"), picture("A chart")))
    assert list(differences(picture("A map"), picture("A map", "<svg></svg>")))
    record = {"application/papermill.record/text/plain": "0.5"}
    assert list(
        differences([shown(record, scrapbook={"name": "a"})], [shown(record, scrapbook={"name": "b"})])
    )


DRAW = """from IPython.display import display
display({'image/png': P}, raw=True, metadata={'image/png': {'alt': 'a'}})"""


@pytest.fixture(scope="module")
def notebook():
    """A run notebook with a number, a picture, a result and an announced error."""
    picture = png()
    cells = [
        v4.new_markdown_cell("# Title"),
        code(f"P = '{picture}'\nprint(0.9624, 7)", stdout("0.9624 7\n")),
        code(DRAW, shown({"image/png": picture}, **{"image/png": {"alt": "a"}})),
        code("raise ValueError('no')", tags=["raises-exception"]),
        code("1 / 4"),
    ]
    cells[3].outputs = [v4.new_output("error", ename="ValueError", evalue="no", traceback=[])]
    cells[4].outputs = [v4.new_output("execute_result", data={"text/plain": "0.25"}, execution_count=1)]
    return nbformat.reads(execute.dumps(v4.new_notebook(cells=cells)), as_version=4)


def strict(path):
    """Run the plugin as the tools do; return exit code and log."""
    command = [sys.executable, "-m", "tools.notebooks.nbval_strict", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=execute.ROOT)
    return done.returncode, done.stdout + done.stderr


def put(cell, **values):
    return lambda notebook: notebook.cells[cell].update(values)


def out(cell, **values):
    return lambda notebook: notebook.cells[cell].outputs[0].update(values)


BROKEN = {
    "two units of the last digit": out(1, text="0.9626 7\n"),
    "an integer": out(1, text="0.9624 8\n"),
    "a swapped picture": out(2, data={"image/png": png(line=(0, 0, 79, 59))}),
    "another alt text": out(2, metadata={"image/png": {"alt": "b"}}),
    "another message": out(3, evalue="yes"),
    "a result that is gone": put(4, outputs=[]),
    "a result with a semicolon": put(4, source="1 / 4;", outputs=[]),
    "a cleared cell": put(4, outputs=[], execution_count=None),
    "a skipped cell": put(4, metadata={"tags": ["nbval-skip"]}),
    "an excused cell": put(4, source="# NBVAL_IGNORE_OUTPUT\n1 / 4"),
    "an unannounced error": put(3, metadata={}),
    "a word on stderr, past Python": put(4, source="import os\n\nos.write(2, b'SEGFAULT')\n1 / 4"),
}


def test_all_at_once(notebook, tmp_path):
    """The good notebook passes, with one unit of the last digit and a recompressed picture; each broken one fails."""
    copy = nbformat.from_dict(notebook)
    copy.cells[1].outputs[0].text = "0.9623 7\n"
    copy.cells[2].outputs[0].data["image/png"] = png(level=0)
    nbformat.write(copy, tmp_path / "good.ipynb")
    for number, change in enumerate(BROKEN.values()):
        broken = nbformat.reads(nbformat.writes(notebook), as_version=4)
        change(broken)
        nbformat.write(broken, tmp_path / f"broken{number}.ipynb")
    status, log = strict(tmp_path)
    failed = re.findall(r"^FAILED (?:.*/)?(\w+)\.ipynb", log, re.MULTILINE)
    assert status == 1, log
    assert sorted(failed) == sorted(f"broken{number}" for number in range(len(BROKEN))), log
