import base64
import io
import random

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import course_utils
from course_utils.errors import InputError
from course_utils.notebook import page

ALT = "A line that rises from zero to one."


@pytest.fixture
def shown(monkeypatch):
    calls = []  # what a cell would show
    monkeypatch.setattr(page, "display", lambda data, raw, metadata: calls.append((data, metadata)))
    return calls


def test_setup_seeds_everything_and_sets_float64_and_threads(monkeypatch):
    draws = []
    for _ in range(2):
        page.setup(seed=3, threads=1)
        draws.append((random.random(), np.random.rand(), torch.rand(2).tolist()))  # noqa: NPY002
    assert draws[0] == draws[1]
    assert torch.zeros(1).dtype == torch.float64
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.get_num_threads() == 1
    monkeypatch.setenv("COURSE_THREADS", "2")
    page.setup()
    assert torch.get_num_threads() == 2
    with pytest.raises(TypeError, match="device"):
        page.setup(device="cuda")
    assert course_utils.setup is page.setup
    with pytest.raises(AttributeError, match="nonsense"):
        _ = course_utils.nonsense


@pytest.mark.parametrize(("style", "ground"), [([], 255), ("default", 255), ("dark_background", 0)])
def test_figure_shows_an_opaque_png_with_alt_text_and_closes(shown, style, ground):
    page.setup()
    with plt.style.context(style):
        fig, axes = plt.subplots()
        axes.plot([0, 1])
        axes.set_xlabel("rank")
        page.figure(fig, alt=ALT)
    ((data, metadata),) = shown
    picture = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert picture.size == (1152, 640) or style == "default"
    assert picture.convert("RGBA").getpixel((0, 0)) == (ground, ground, ground, 255)
    below = np.asarray(picture.convert("L"), int)[-70:]  # the axis' numbers and its name are seen
    assert below.max() - below.min() > 150
    assert metadata["image/png"]["alt"] == ALT
    assert ALT in data["text/plain"]
    assert not plt.fignum_exists(fig.number)


def test_diagram_shows_svg_and_what_is_missing_is_named(shown):
    page.diagram("book_map", alt=ALT)
    assert "<svg" in shown[0][0]["image/svg+xml"]
    assert shown[0][1]["image/svg+xml"]["alt"] == ALT
    for alt in ("", "short", None):
        for show, what in ((page.figure, plt.figure()), (page.diagram, "book_map")):
            with pytest.raises(InputError, match="alt"):
                show(what, alt=alt)
    for show in (lambda name: page.diagram(name, alt=ALT), page.results):
        with pytest.raises(InputError, match="no_such"):
            show("no_such")
    plt.close("all")


def test_progress_is_silent_when_asked_and_glue_writes_what_myst_nb_reads(shown, monkeypatch, capsys):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    assert list(page.progress(range(3), "counting")) == [0, 1, 2]
    assert capsys.readouterr().err == ""
    page.glue("x", torch.tensor(0.25))
    (ours, metadata), key = shown[0], "application/papermill.record/text/plain"
    assert ours == {key: "0.25"}
    assert metadata["scrapbook"]["name"] == "x"
    myst_nb = pytest.importorskip("myst_nb", reason="myst-nb is not installed")
    monkeypatch.setattr("myst_nb.ext.glue.ipy_display", page.display)
    myst_nb.glue("x", 0.25, display=False)
    assert (shown[1][0][key], shown[1][1]) == (ours[key], metadata)


def test_a_live_figure_is_one_element_with_its_scripts_and_readable_without_them(shown):
    fig, _ = plt.subplots()
    page.demo("ten-places", fig, alt=ALT, table=pd.DataFrame({"a": [1]}), words='"<b>"', relevant=7)
    ((data, metadata),) = shown
    html = data["text/html"]
    head, *scripts = html.split("<script>")
    assert all(text in head for text in ("<live-ten-places ", ALT, "<td>1</td>", "&quot;relevant&quot;:7"))
    assert '"<b>"' not in head
    assert [script.count('"live-ten-places"') for script in scripts] == [0, 2]
    assert metadata == {"image/png": {"alt": ALT, "width": 720}}
    for name, values, said in (("no-such", {}, "no-such"), ("ten-places", {"x": float("nan")}, "JSON")):
        with pytest.raises(ValueError, match=said):
            page.demo(name, plt.figure(), alt=ALT, **values)
