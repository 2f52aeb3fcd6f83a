"""The strict comparison: what it lets pass, and that each hole of plain nbval is closed."""

import re
import subprocess
import sys

import nbformat
import pytest
from nbformat import v4
from sample_notebook import chart, code, displayed, png, shown, stdout

from tools.notebooks import execute
from tools.notebooks.nbval_strict import differences, picture_difference, same_text

LINE = png(line=(0, 59, 79, 59))  # the last row of pixels is another

SAME = [("rmse 0.9624", "rmse 0.9624"), ("rmse 0.9624", "rmse 0.9625"), ("rmse -0.000", "rmse 0.000")]
SAME += [("1,234.5", "1,234.6"), ("1.", "0.9999"), ("1.20e-05", "1.21e-05"), ("<td>0.71</td>", "<td>0.72</td>")]
OTHER = [("rmse 0.9624", "rmse 0.9626"), ("3 users", "4 users"), ("1,682 films", "1,683 films"), ("nan", "0.5")]
OTHER += [("1,234.5", "1,234.7"), ("[0.5 1.  ]", "[0.5 2.  ]"), ("1.20e-05", "1.22e-05"), ("1e-05", "2e-05")]
OTHER += [("0.96", "0.9624"), ("0.5", "1"), ("0.5 apples", "0.5 pears"), ("0.5", "0.5 0.5")]
OTHER += [("version 3.11.7", "version 3.11.8")]


@pytest.mark.parametrize(("before", "now"), SAME + OTHER)
def test_numbers_in_text(before, now):
    assert same_text(before, now) is ((before, now) in SAME)


def test_glued_numbers_are_stored_in_full_and_compared_to_six_digits():
    glued, close = "0.96241234567891", "0.96241234999999"
    assert same_text(glued, close, 6)
    assert not same_text(glued, close)
    assert not same_text(glued, "0.96242434567891", 6)


def test_pictures():
    assert picture_difference(png(), png(level=0)) is None, "the same pixels, compressed otherwise"
    assert "differ" in picture_difference(png(), LINE)
    assert "size" in picture_difference(png(), png(size=(81, 60)))


PIXEL = 3.15 / (4 * 160 * 0.77)  # in units of the y axis
SEEN = [{"label": ".28"}, {"bar": 2 + 2 * PIXEL}, {"marker": 0}, {"shift": PIXEL}]


@pytest.mark.parametrize("change", [*SEEN, {"shift": 0.02 * PIXEL}, {}])
def test_a_small_change_in_a_large_picture(change):
    assert bool(picture_difference(chart(), chart(**change))) == (change in SEEN)


def test_pictures_alone_can_be_left_aside():
    before, other, alt = ([displayed("image/png", *each)] for each in ((png(), "a"), (LINE, "a"), (LINE, "b")))
    assert list(differences(before, other))
    assert not list(differences(before, other, pictures=False))
    assert list(differences(before, alt, pictures=False))
    assert list(differences(before, [stdout("0.5\n")], pictures=False))


@pytest.mark.parametrize(("now", "word"), [("", "outputs"), ("57", "outputs"), ("7", "text")])
def test_outputs_keep_order_number_and_text(now, word):
    found = list(differences([stdout("0.5\n")], [stdout(f"0.{digit}\n") for digit in now]))
    assert len(found) == 1
    assert word in found[0]


def test_alt_text_svg_and_glue_names_are_compared():
    before = [displayed("image/svg+xml", "<svg/>", "A map")]
    assert not list(differences(before, before))
    assert list(differences(before, [displayed("image/svg+xml", "<svg/>", "A chart")]))
    assert list(differences(before, [displayed("image/svg+xml", "<svg></svg>", "A map")]))
    record = {"application/papermill.record/text/plain": "0.5"}
    assert list(differences(*([shown(record, scrapbook={"name": name})] for name in "ab")))


DRAW = """from IPython.display import display
display({'image/png': P}, raw=True, metadata={'image/png': {'alt': 'a'}})"""
ERROR = v4.new_output("error", ename="ValueError", evalue="no", traceback=[])
CELLS = [  # a number, a picture, an announced error and a result
    v4.new_markdown_cell("# Title"),
    code(f"P = '{png()}'\nprint(0.9624, 7)", stdout("0.9624 7\n")),
    code(DRAW, displayed("image/png", png(), "a")),
    code("raise ValueError('no')", ERROR, "raises-exception"),
    code("1 / 4", v4.new_output("execute_result", data={"text/plain": "0.25"}, execution_count=1)),
]


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


def test_all_at_once(tmp_path):
    """The good notebook passes, with one unit of the last digit and a recompressed picture; each broken one fails."""
    notebook = execute.normalise(v4.new_notebook(cells=CELLS))
    copy = nbformat.reads(nbformat.writes(notebook), as_version=4)
    copy.cells[1].outputs[0].text = "0.9623 7\n"
    copy.cells[2].outputs[0].data["image/png"] = png(level=0)
    nbformat.write(copy, tmp_path / "good.ipynb")
    for number, change in enumerate(BROKEN.values()):
        broken = nbformat.reads(nbformat.writes(notebook), as_version=4)
        change(broken)
        nbformat.write(broken, tmp_path / f"broken{number}.ipynb")
    command = [sys.executable, "-m", "tools.notebooks.nbval_strict", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=execute.ROOT)
    failed = re.findall(r"^FAILED (?:.*/)?(\w+)\.ipynb", done.stdout, re.MULTILINE)
    assert done.returncode == 1, done.stdout + done.stderr
    assert sorted(failed) == sorted(f"broken{number}" for number in range(len(BROKEN))), done.stdout
