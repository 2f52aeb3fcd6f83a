"""Codes that a network learns, chapter 19: an RQ-VAE, which starts from the codebooks of residual k-means."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.optim import Adam

from course_utils.errors import check_counts, check_range
from course_utils.learning import loop
from course_utils.models.semantic_ids import Quantized, residual_kmeans


def rq_vae(
    vectors: Tensor,
    size: int = 16,
    depth: int = 3,
    *,
    hidden: int = 128,
    commitment: float = 0.25,
    epochs: int = 100,
    lr: float = 0.001,
    batch_size: int = 128,
    seed: int = 0,
) -> Quantized:
    """Codes of what an encoder makes of the vectors, learnt together with it: RQ-VAE (Lee et al. 2022, section 3.1).

    Encoder and decoder are a vector plus two layers that begin at 0, the codebooks are those of
    :func:`residual_kmeans`: before the first epoch its codes are theirs. Minimised is the squared error of the decoded
    vectors, plus that of each level's centres, plus ``commitment`` times that of the encoder against them. The choice
    of a token has no gradient: the decoder's goes straight through to the encoder. ``errors`` are of decoded vectors.
    """
    check_range("0 or more", commitment=commitment)
    check_counts(hidden=hidden, epochs=epochs, batch_size=batch_size)
    start = residual_kmeans(vectors, size, depth, seed=seed)
    x = torch.tensor(np.asarray(vectors, dtype=np.float64), dtype=torch.get_default_dtype())
    x = x - x.mean(0)
    generator = torch.Generator().manual_seed(seed)
    network = _RQVAE(start.centres, hidden, generator)

    def objective(network: _RQVAE, batch: loop.Batch) -> dict[str, Tensor]:
        decoded, _, books, encoder = network(batch[0])
        return {"decoded": (decoded - batch[0]).square().sum(1).mean(), "books": books, "encoder": commitment * encoder}

    rows = loop.batches(x, batch_size=batch_size, generator=generator)
    loop.fit(network, rows, objective, epochs=epochs, optimizer=Adam(network.parameters(), lr=lr, fused=True))
    with torch.no_grad():
        errors = [float((network(x, levels)[0] - x).square().sum()) for levels in range(depth + 1)]
        tokens = network(x)[1]
    found = [pd.factorize(column)[:2] for column in tokens.T.numpy()]
    centres = [book.detach()[order] for book, (_, order) in zip(network.books, found, strict=True)]
    return Quantized(torch.tensor(np.stack([column for column, _ in found], 1)), centres, errors)


class _RQVAE(nn.Module):
    """Encoder, codebooks and decoder of :func:`rq_vae`."""

    def __init__(self, centres: list[Tensor], hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        d = centres[0].shape[1]
        self.books = nn.ParameterList(nn.Parameter(book.clone()) for book in centres)
        two = (nn.Sequential(nn.Linear(d, hidden), nn.ReLU(), nn.Linear(hidden, d)) for _ in range(2))
        self.encoder, self.decoder = two
        for part in (self.encoder, self.decoder):
            nn.init.xavier_uniform_(part[0].weight, generator=generator)
            for zero in (part[0].bias, part[2].weight, part[2].bias):
                nn.init.zeros_(zero)

    def forward(self, x: Tensor, levels: int | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Decoded vectors ``(B, d)``, tokens ``(B, levels)``, and the mean errors of books and encoder."""
        coded = x + self.encoder(x)
        total, tokens, books, encoder = torch.zeros_like(coded), [], 0.0, 0.0
        for book in self.books[:levels]:
            left = coded - total.detach()
            tokens.append(torch.cdist(left.detach(), book).argmin(1))
            centre = book[tokens[-1]]
            books = books + (left.detach() - centre).square().sum(1).mean()
            encoder = encoder + (left - centre.detach()).square().sum(1).mean()
            total = total + centre
        straight = coded + (total - coded).detach()
        return straight + self.decoder(straight), torch.stack(tokens, 1) if tokens else None, books, encoder
