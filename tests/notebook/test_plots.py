import matplotlib.pyplot as plt
import numpy as np
import pytest

from course_utils.notebook import plots


def luminance(color):
    rgb = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


@pytest.mark.parametrize("color", plots.PALETTE)
def test_colours_stand_out_on_white(color):
    assert 1.05 / (luminance(color) + 0.05) >= 4


# Linear-RGB matrices for complete protanopia, deuteranopia and tritanopia (Machado, Oliveira, Fernandes 2009).
DEFICIENCIES = {
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


@pytest.mark.parametrize("matrix", DEFICIENCIES.values(), ids=DEFICIENCIES)
def test_first_four_colours_stay_apart_for_colour_blind_readers(matrix):
    def seen(color):
        rgb = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        out = np.clip(np.array(matrix) @ linear, 0, 1)
        return np.where(out <= 0.0031308, out * 12.92, 1.055 * out ** (1 / 2.4) - 0.055)

    colors = [seen(c) for c in plots.PALETTE[:4]]
    distances = [np.linalg.norm(a - b) for i, a in enumerate(colors) for b in colors[:i]]
    assert min(distances) > 0.1


def test_use_style_sets_and_cycles():
    plots.use_style()
    assert plt.rcParams["figure.figsize"] == [plots.WIDTH, plots.HEIGHT]
    assert plt.rcParams["axes.prop_cycle"].by_key()["color"] == plots.PALETTE


def test_spread_bars_puts_first_label_on_top_and_prints_values():
    fig, ax = plt.subplots()
    plots.spread_bars(ax, ["a", "b"], [0.5, 0.25], [0.1, 0.0], digits=2)
    assert [t.get_text() for t in ax.texts] == ["0.50", "0.25"]
    assert ax.yaxis_inverted()
    plt.close(fig)


def test_spread_bars_prints_beside_a_negative_bar():
    fig, ax = plt.subplots()
    plots.spread_bars(ax, ["a", "b"], [0.5, -0.25])
    assert [t.xy[0] for t in ax.texts] == [0.5, 0]
    plt.close(fig)


def test_spread_bars_prints_no_minus_before_a_zero():
    fig, ax = plt.subplots()
    plots.spread_bars(ax, ["a", "b"], [-0.00001, -0.25])
    assert [t.get_text() for t in ax.texts] == ["0.000", "-0.250"]
    plt.close(fig)


def test_label_ends_keeps_labels_apart():
    fig, ax = plt.subplots()
    for name, end in (("a", 1.0), ("b", 1.0), ("c", 0.0)):
        ax.plot([0, 1], [0, end], label=name)
    plots.label_ends(ax, gap=0.1)
    heights = sorted(t.xy[1] for t in ax.texts)
    assert np.diff(heights).min() >= 0.1 - 1e-9
    plt.close(fig)
