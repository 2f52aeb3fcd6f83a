"""The normal form of notebooks, and running them."""

from __future__ import annotations

import base64
import io
import os

import nbformat
import pytest
from nbformat import v4
from PIL import Image, PngImagePlugin

from tools.notebooks import execute


def png(color: str, software: str | None = None, level: int = 6) -> str:
    """A small picture as base64 PNG, with or without a text chunk."""
    info = PngImagePlugin.PngInfo()
    if software:
        info.add_text("Software", software)
    buffer = io.BytesIO()
    Image.new("RGB", (20, 10), color).save(buffer, "PNG", pnginfo=info, compress_level=level)
    return base64.b64encode(buffer.getvalue()).decode()


def show(picture: str):
    return v4.new_output("display_data", data={"image/png": picture})


def notebook_of(*outputs, **cell):
    return v4.new_notebook(
        cells=[v4.new_code_cell("draw()", outputs=list(outputs), execution_count=7, **cell)]
    )


def test_normal_form_keeps_nothing_of_day_machine_or_editor():
    noise = {
        "execution": {"start": "2026"},
        "id": "x",
        "tags": ["remove-input"],
        "slideshow": {"slide_type": "slide"},
    }
    error = v4.new_output("error", ename="E", evalue="no", traceback=["\x1b[31m/home/me/x.py", "more"])
    streams = [v4.new_output("stream", name="stdout", text=text) for text in "ab"]
    dirty = notebook_of(streams[0], show(png("red", "matplotlib 3")), streams[1], error, metadata=noise)
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


def test_bare_png_keeps_its_pixels():
    dirty = png("red", "matplotlib 3")
    clean = execute.normalise(notebook_of(show(dirty))).cells[0].outputs[0].data["image/png"]
    assert clean != dirty
    assert execute.png_pixels(clean) == execute.png_pixels(dirty)


def test_a_picture_with_equal_pixels_keeps_its_old_bytes():
    before = notebook_of(show(png("red", level=0)), show(png("blue")))
    after = execute.normalise(notebook_of(show(png("red", level=9)), show(png("green"))), before)
    kept, drawn = (output.data["image/png"] for output in after.cells[0].outputs)
    assert kept == png("red", level=0)
    assert drawn == png("green")


def test_ids_follow_the_source_and_are_unique():
    twice = v4.new_notebook(cells=[v4.new_code_cell("x"), v4.new_code_cell("x"), v4.new_markdown_cell("x")])
    first = [cell.id for cell in execute.normalise(twice).cells]
    assert len(set(first)) == 3
    del twice.cells[1]
    assert [cell.id for cell in execute.normalise(twice).cells] == [first[0], first[2]]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A notebook that was run, and its bytes."""
    path = tmp_path_factory.mktemp("run") / "a.ipynb"
    sources = [
        "import os\nprint(os.environ['TQDM_DISABLE'], os.environ['COURSE_THREADS'], os.listdir())",
        "import sys\nprint('a', flush=True)\nprint('b')\n1 / 4",
        "1 / 0",
    ]
    notebook = v4.new_notebook(cells=[v4.new_code_cell(source) for source in sources])
    notebook.cells[2].metadata["tags"] = ["raises-exception"]
    path.write_text(nbformat.writes(notebook))
    execute.run(path)
    return path


def test_a_second_run_changes_no_byte(ran):
    before = ran.read_bytes()
    execute.run(ran)
    assert ran.read_bytes() == before
    assert before.endswith(b"}\n")


def test_a_run_writes_outputs(ran):
    cells = execute.read(ran).cells
    threads = os.environ.get("COURSE_THREADS") or "1"
    assert cells[0].outputs[0].text == f"1 {threads} []\n", (
        "no progress bars, the threads asked for, an empty folder"
    )
    assert [output.output_type for output in cells[1].outputs] == ["stream", "execute_result"]
    assert cells[2].outputs[0].ename == "ZeroDivisionError"
    assert [cell.execution_count for cell in cells] == [1, 2, 3]


def test_an_exception_stops_the_run_and_leaves_the_file(tmp_path, capsys):
    path = tmp_path / "bad.ipynb"
    path.write_text(
        nbformat.writes(v4.new_notebook(cells=[v4.new_code_cell("1 / 0"), v4.new_code_cell("print(1)")]))
    )
    before = path.read_bytes()
    assert execute.main([str(path)]) == 1
    assert path.read_bytes() == before
    assert "ZeroDivisionError" in capsys.readouterr().out


def test_a_missing_java_is_named(tmp_path, monkeypatch):
    from course_utils import errors
    from course_utils.scale import spark

    def none():
        raise errors.MissingToolError("Java 17", "none on this machine")

    monkeypatch.setattr(spark, "find_java", none)
    path = tmp_path / "spark.ipynb"
    path.write_text(nbformat.writes(v4.new_notebook(cells=[v4.new_code_cell("1 + 1")])))
    assert execute.missing_tool(path) is None
    cell = v4.new_code_cell("from course_utils.scale.spark import session")
    path.write_text(nbformat.writes(v4.new_notebook(cells=[cell])))
    assert execute.missing_tool(path) == "Java 17 is missing: none on this machine"
    before = path.read_bytes()
    assert execute.main([str(path)]) == 0
    assert path.read_bytes() == before


def test_missing_data_are_named(tmp_path, monkeypatch):
    from course_utils import data

    path = tmp_path / "gated.ipynb"
    for source, missing in (("load_criteo(rows=9)", "criteo-kaggle"), ("load_movielens()", None)):
        path.write_text(nbformat.writes(v4.new_notebook(cells=[v4.new_code_cell(source)])))
        monkeypatch.setattr(data, "available", lambda name: False)
        assert execute.missing_data(path) == missing
        monkeypatch.setattr(data, "available", lambda name: True)
        assert execute.missing_data(path) is None
    monkeypatch.undo()
    for name in execute.DATA.values():
        data.available(name)  # raises for a name that it does not know
