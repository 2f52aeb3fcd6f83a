"""DLRM, all of it (chapter 7)."""

from _dlrm import draw

draw(__file__)
