import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib import font_manager

from course_utils.notebook import plots

# Linear-RGB matrices for complete protanopia, deuteranopia and tritanopia (Machado, Oliveira, Fernandes 2009).
DEFICIENCIES = {
    "protan": [0.152286, 1.052583, -0.204868, 0.114503, 0.786281, 0.099216, -0.003882, -0.048116, 1.051998],
    "deutan": [0.367322, 0.860646, -0.227968, 0.280085, 0.672501, 0.047413, -0.011820, 0.042940, 0.968881],
    "tritan": [1.255528, -0.076749, -0.178779, -0.078411, 0.930809, 0.147602, 0.004733, 0.691367, 0.303900],
}


def linear(color):
    rgb = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def test_colours_stand_out_on_white_and_four_stay_apart_for_colour_blind_readers():
    for color in plots.PALETTE:
        assert 1.05 / (linear(color) @ [0.2126, 0.7152, 0.0722] + 0.05) >= 4, color
    for name, matrix in DEFICIENCIES.items():
        seen = np.clip([np.reshape(matrix, (3, 3)) @ linear(color) for color in plots.PALETTE[:4]], 0, 1)
        seen = np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055)
        assert min(np.linalg.norm(a - b) for i, a in enumerate(seen) for b in seen[:i]) > 0.1, name


BARS = [  # means, spreads, digits; words and places
    ([0.5, 0.25], [0.1, 0.0], 2, ["0.50", "0.25"], [0.6, 0.25]),
    ([0.5, -0.25], None, 3, ["0.500", "-0.250"], [0.5, 0]),  # beside a negative bar, not on it
    ([-0.00001, -0.25], None, 3, ["0.000", "-0.250"], [0, 0]),  # no minus before a zero
]


@pytest.mark.parametrize(("means", "spreads", "digits", "words", "places"), BARS)
def test_spread_bars_prints_values_beside_the_bars(means, spreads, digits, words, places):
    axes = plt.figure().gca()
    plots.spread_bars(axes, ["a", "b"], means, spreads, digits=digits)
    assert [text.get_text() for text in axes.texts] == words
    assert [text.xy[0] for text in axes.texts] == places
    assert axes.yaxis_inverted()  # the first label is on top
    plots.spread_bars(axes, ["a", "b"], means, spreads, dots=True)
    assert [patch.get_height() for patch in axes.patches] == [0.66, 0.66, 0, 0]


def test_label_ends_keeps_labels_apart_in_the_books_style():
    plots.use_style()
    axes = plt.figure().gca()
    for name, end in (("a", 1.0), ("b", 1.0), ("c", 0.0)):
        axes.plot([0, 1], [0, end], label=name)
    plots.label_ends(axes, gap=0.1)
    assert np.diff(sorted(text.xy[1] for text in axes.texts)).min() >= 0.1 - 1e-9
    assert plt.rcParams["figure.figsize"] == [plots.WIDTH, plots.HEIGHT]
    assert plt.rcParams["axes.prop_cycle"].by_key()["color"] == plots.PALETTE


@pytest.mark.parametrize("weight", ["normal", "bold"])
def test_plots_are_lettered_in_a_face_that_the_package_brings(weight):
    plots.use_style()
    file = font_manager.findfont(font_manager.FontProperties(weight=weight))
    assert file in {str(path) for path in plots.FONTS.glob("*.ttf")}
    drawn = font_manager.get_font(file).get_charmap()
    assert {letter for letter in "NDCG@10 é Ž λ αβ − ± × ≤ → … – “”" if ord(letter) not in drawn} == set()
    assert "SIL OPEN FONT LICENSE" in (plots.FONTS / "OFL.txt").read_text()
