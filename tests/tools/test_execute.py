"""The normal form of notebooks, and running them."""

import base64
import os
from unittest.mock import Mock

import nbformat
import pytest
from nbformat import v4
from sample_notebook import png, shown, stdout, written

from course_utils import data, errors
from course_utils.scale import spark
from tools.notebooks import execute


def drawn(*pictures):
    outputs = [shown({"image/png": each}) for each in pictures]
    return v4.new_notebook(cells=[v4.new_code_cell("draw()", outputs=outputs)])


def test_normal_form_keeps_nothing_of_day_machine_or_editor():
    noise = {"execution": {"start": "2026"}, "id": "x", "tags": ["remove-input"], "slideshow": {"slide_type": "slide"}}
    error = v4.new_output("error", ename="E", evalue="no", traceback=["\x1b[31m/home/me/x.py", "more"])
    outputs = [stdout("a"), shown({"image/png": png(software="matplotlib 3")}), stdout("b"), error]
    dirty = v4.new_notebook(cells=[v4.new_code_cell("x", outputs=outputs, execution_count=7, metadata=noise)])
    dirty.metadata = {"jupytext": {"formats": "py"}, "language_info": {"name": "python", "version": "3.11.7"}}
    clean = execute.normalise(dirty)
    cell = clean.cells[0]
    assert set(clean.metadata) == {"kernelspec", "language_info"}
    assert "version" not in clean.metadata.language_info
    assert cell.execution_count == 1
    assert set(cell.metadata) == {"tags", "slideshow"}
    assert [output.output_type for output in cell.outputs] == ["stream", "display_data", "error"]
    assert cell.outputs[0].text == "ab"
    assert b"matplotlib" not in base64.b64decode(cell.outputs[1].data["image/png"])
    assert cell.outputs[2].traceback == ["E: no"]
    assert execute.normalise(clean) == clean
    nbformat.validate(clean)


def test_a_picture_keeps_its_pixels_and_where_they_are_equal_its_old_bytes():
    before = drawn(png(level=0), png(size=(10, 20)))
    dirty = drawn(png(level=9, software="matplotlib 3"), png(size=(20, 10)))
    bare = execute.normalise(dirty).cells[0].outputs[0].data["image/png"]
    assert bare not in (png(level=0), dirty.cells[0].outputs[0].data["image/png"])
    assert execute.png_pixels(bare) == execute.png_pixels(png())
    kept, new = (output.data["image/png"] for output in execute.normalise(dirty, before).cells[0].outputs)
    assert (kept, new) == (png(level=0), png(size=(20, 10)))


def test_ids_follow_the_source_and_are_unique():
    twice = v4.new_notebook(cells=[v4.new_code_cell("x"), v4.new_code_cell("x"), v4.new_markdown_cell("x")])
    first = [cell.id for cell in execute.normalise(twice).cells]
    assert len(set(first)) == 3
    del twice.cells[1]
    assert [cell.id for cell in execute.normalise(twice).cells] == [first[0], first[2]]


def test_a_run_writes_outputs_and_a_second_one_changes_no_byte(tmp_path):
    room = "import os\nprint(os.environ['TQDM_DISABLE'], os.environ['COURSE_THREADS'], os.listdir())"
    path = written(tmp_path / "a.ipynb", room, "print('a', flush=True)\nprint('b')\n1 / 4", "1 / 0", "")
    notebook = execute.read(path)
    notebook.cells[2].metadata["tags"] = ["raises-exception"]
    notebook.cells[3].outputs = [stdout("of a cell that is empty now")]
    path.write_text(nbformat.writes(notebook))
    execute.run(path)
    cells = execute.read(path).cells
    threads = os.environ.get("COURSE_THREADS") or "1"
    assert cells[0].outputs[0].text == f"1 {threads} []\n"  # no progress bars, its threads, an empty folder
    assert [output.output_type for output in cells[1].outputs] == ["stream", "execute_result"]
    assert cells[2].outputs[0].ename == "ZeroDivisionError"
    assert cells[3].outputs == []
    assert [cell.execution_count for cell in cells] == [1, 2, 3, None]
    before = path.read_bytes()
    execute.run(path)
    assert path.read_bytes() == before
    assert before.endswith(b"}\n")


def test_an_exception_stops_the_run_and_leaves_the_file(tmp_path, capsys):
    path = written(tmp_path / "bad.ipynb", "1 / 0", "print(1)")
    before = path.read_bytes()
    assert execute.main([str(path)]) == 1
    assert path.read_bytes() == before
    assert "ZeroDivisionError" in capsys.readouterr().out


def test_a_missing_java_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(spark, "find_java", Mock(side_effect=errors.MissingToolError("Java 17", "none here")))
    assert execute.missing_tool(written(tmp_path / "spark.ipynb", "1 + 1")) is None
    path = written(tmp_path / "spark.ipynb", "from course_utils.scale.spark import session")
    assert execute.missing_tool(path) == "Java 17 is missing: none here"
    before = path.read_bytes()
    assert execute.main([str(path)]) == 0
    assert path.read_bytes() == before


@pytest.mark.parametrize(("source", "name"), [("load_criteo(rows=9)", "criteo-kaggle"), ("load_movielens()", None)])
def test_missing_data_are_named(tmp_path, monkeypatch, source, name):
    path = written(tmp_path / "gated.ipynb", source)
    for known in execute.DATA.values():
        data.available(known)  # raises for a name that it does not know
    for here, missing in ((False, name), (True, None)):
        monkeypatch.setattr(data, "available", lambda name, here=here: here)
        assert execute.missing_data(path) == missing
