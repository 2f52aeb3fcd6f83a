"""Dense features and bottom MLP, within DLRM (chapter 7)."""

from _dlrm import draw

draw(__file__, "dense")
