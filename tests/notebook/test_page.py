import base64
import io
import random

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image

from course_utils.errors import InputError
from course_utils.notebook import page

ALT = "A line that rises from zero to one."


@pytest.fixture
def shown(monkeypatch):
    """What a cell would show: a list of (bundle, metadata)."""
    calls = []
    monkeypatch.setattr(
        page, "display", lambda data, raw=False, metadata=None: calls.append((data, metadata))
    )
    return calls


def test_setup_seeds_everything_and_sets_float64():
    draws = []
    for _ in range(2):
        page.setup(seed=3, threads=1)
        draws.append((random.random(), np.random.rand(), torch.rand(2).tolist()))  # noqa: NPY002
    assert draws[0] == draws[1]
    assert torch.zeros(1).dtype == torch.float64
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.get_num_threads() == 1


def test_setup_takes_threads_from_the_environment(monkeypatch):
    monkeypatch.setenv("COURSE_THREADS", "2")
    page.setup()
    assert torch.get_num_threads() == 2


def test_course_utils_setup_is_this_one():
    import course_utils

    assert course_utils.setup is page.setup
    with pytest.raises(AttributeError, match="nonsense"):
        _ = course_utils.nonsense


def test_figure_shows_an_opaque_png_with_alt_text_and_closes(shown):
    page.setup()
    fig, ax = plt.subplots()
    ax.plot([0, 1])
    page.figure(fig, alt=ALT)
    data, metadata = shown[0]
    picture = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert picture.size == (1152, 640)
    assert picture.convert("RGBA").getpixel((0, 0)) == (255, 255, 255, 255)
    assert metadata["image/png"]["alt"] == ALT
    assert ALT in data["text/plain"]
    assert not plt.fignum_exists(fig.number)


@pytest.mark.parametrize("alt", ["", "short", None])
def test_figure_and_diagram_refuse_missing_alt_text(alt):
    with pytest.raises(InputError, match="alt"):
        page.figure(plt.figure(), alt=alt)
    with pytest.raises(InputError, match="alt"):
        page.diagram("book_map", alt=alt)
    plt.close("all")


def test_diagram_shows_svg_and_names_a_missing_one(shown):
    page.diagram("book_map", alt=ALT)
    data, metadata = shown[0]
    assert "<svg" in data["image/svg+xml"]
    assert metadata["image/svg+xml"]["alt"] == ALT
    with pytest.raises(InputError, match="no_such"):
        page.diagram("no_such", alt=ALT)


def test_glue_writes_what_myst_nb_reads(shown):
    page.glue("rmse", torch.tensor(0.5))
    data, metadata = shown[0]
    assert data == {"application/papermill.record/text/plain": "0.5"}
    assert metadata["scrapbook"]["name"] == "rmse"


def test_glue_equals_myst_nb(shown, monkeypatch):
    myst_nb = pytest.importorskip("myst_nb", reason="myst-nb is not installed")
    import myst_nb.ext.glue as theirs

    monkeypatch.setattr(theirs, "ipy_display", page.display)
    page.glue("x", 0.25)
    myst_nb.glue("x", 0.25, display=False)
    key = "application/papermill.record/text/plain"
    assert shown[0][0][key] == shown[1][0][key]
    assert shown[0][1] == shown[1][1]


def test_progress_is_silent_when_asked(monkeypatch, capsys):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    assert list(page.progress(range(3), "counting")) == [0, 1, 2]
    assert capsys.readouterr().err == ""


def test_results_names_a_missing_table():
    with pytest.raises(InputError, match="no_such"):
        page.results("no_such")


@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_words_are_seen_in_a_style_of_the_reader(shown, style):
    page.setup()
    with plt.style.context(style):
        fig, axes = plt.subplots()
        axes.set_xlabel("rank")
        page.figure(fig, alt=ALT)
    picture = Image.open(io.BytesIO(base64.b64decode(shown[0][0]["image/png"])))
    below = np.asarray(picture.convert("L"), int)[-70:]  # the axis' numbers and its name
    assert below.max() - below.min() > 150
    assert picture.convert("RGBA").getpixel((0, 0))[3] == 255


def test_setup_moves_nothing_to_a_device():
    with pytest.raises(TypeError, match="device"):
        page.setup(device="cuda")
