"""The optional networks on the embeddings, within DLRM (chapter 7)."""

from _dlrm import draw

draw(__file__, "sparse_mlps")
