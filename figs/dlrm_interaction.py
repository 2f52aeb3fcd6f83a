"""All pairs of vectors, within DLRM (chapter 7)."""

from _dlrm import draw

draw(__file__, "interaction")
