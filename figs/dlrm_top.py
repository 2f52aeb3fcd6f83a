"""Concatenation, top MLP and sigmoid, within DLRM (chapter 7)."""

from _dlrm import draw

draw(__file__, "top")
