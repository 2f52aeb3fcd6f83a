"""The click models against loops, hand values and each other's special cases."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from shared import refusals
from torch import nn

from course_utils.errors import InputError
from course_utils.models.dlrm import DCN, DLRM, DNN, ConcatInteraction, CrossNetwork, DotInteraction
from course_utils.models.embedding_bags import EmbeddingBags
from course_utils.models.embedding_mf import MatrixFactorization
from course_utils.models.factorization_machines import FactorizationMachine

SIZES = [4, 3, 5]
NONE = torch.empty(0, dtype=torch.long)
close = torch.testing.assert_close


def single(rows=6):
    generator = torch.Generator().manual_seed(0)
    return torch.stack([torch.randint(0, size, (rows,), generator=generator) for size in SIZES], dim=1)


def bags(rows=6, seed=0):
    """Random bags of 0 to 3 codes: lists of codes, offsets, weights."""
    generator = torch.Generator().manual_seed(seed)
    indices, offsets, weights = [], [], []
    for size in SIZES:
        lengths = torch.randint(0, 4, (rows,), generator=generator)
        indices.append(torch.randint(0, size, (int(lengths.sum()),), generator=generator))
        offsets.append(lengths.cumsum(0) - lengths)
        weights.append(torch.randn(int(lengths.sum()), generator=generator))
    return indices, offsets, weights


def count(module):
    return sum(p.numel() for p in module.parameters())


MODELS = {
    "DLRM": lambda n: DLRM(n, SIZES, 4, [5, 4] if n else [], [6, 1]),
    "DLRM, cat": lambda n: DLRM(n, SIZES, 4, [5, 4] if n else [], [6, 1], interaction="cat"),
    "DLRM, sparse MLPs": lambda n: DLRM(n, SIZES, 4, [5, 4] if n else [], [6, 1], sparse_mlp=[5, 4]),
    "DNN": lambda n: DNN(n, SIZES, 4, [8]),
    "DCN v1": lambda n: DCN(n, SIZES, 4, 2, [8], version=1),
    "DCN v2": lambda n: DCN(n, SIZES, 4, 2, [8]),
    "FM": lambda n: FactorizationMachine(SIZES, 4, num_dense=n),
}


class TestEmbeddingBags:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_codes_without_offsets_are_refused(self, dtype):  # torch ends the process (pytorch 175370)
        torch.set_default_dtype(dtype)
        module = EmbeddingBags([4, 4], 3)
        for feature, codes in enumerate(([torch.tensor([1, 2]), torch.tensor([1])], [NONE, torch.tensor([1])])):
            with pytest.raises(InputError, match=rf"offsets of feature {feature}: got \[\]"):
                module(codes, [NONE, NONE])
        assert module([NONE, NONE], [NONE, NONE]).shape == (0, 2, 3)

    @settings(max_examples=20)
    @given(st.integers(0, 10_000), st.integers(1, 5), st.booleans())
    def test_equals_separate_embedding_bags(self, seed, rows, weighted):
        module, batch = EmbeddingBags(SIZES, 2), bags(rows, seed)[: 2 + weighted]
        plain = [nn.EmbeddingBag.from_pretrained(module.table(f).clone(), freeze=False, mode="sum") for f in range(3)]
        parts = torch.stack([bag(*rest) for bag, *rest in zip(plain, *batch, strict=True)], dim=1)
        close(module(*batch), parts)
        module(*batch).square().sum().backward()
        parts.square().sum().backward()
        close(module.weight.grad, torch.cat([bag.weight.grad for bag in plain]))

    def test_sparse_gradient_is_the_dense_one(self):
        module = EmbeddingBags(SIZES, 3)
        for arguments in ((single(),), bags()):
            gradients = []
            for module.sparse in (False, True):
                gradients += torch.autograd.grad(module(*arguments).square().sum(), module.weight)
            assert [gradient.is_sparse for gradient in gradients] == [False, True]
            close(gradients[1].to_dense(), gradients[0])

    def test_one_code_a_feature_is_a_bag_of_one(self):
        module, codes, weights = EmbeddingBags(SIZES, 3), single(), torch.randn(6, 3)
        lists = list(codes.int().T), [torch.arange(6)] * 3  # short integers will do
        assert module(codes[:0]).shape == (0, 3, 3)
        close(module(codes, weights=weights), module(*lists, list(weights.T)))
        some = [None, *weights.T[1:]]  # a None stands for ones
        close(module(*lists, some), module(*lists, [torch.ones_like(weights[:, 0]), *weights.T[1:]]))

    def test_start(self):
        module = EmbeddingBags([4, 10_000], 8)
        for table, bound in ((module.table(0), 0.5), (module.table(1), 0.01)):
            assert 0.8 * bound < table.abs().max() <= bound
            assert abs(table.mean()) < 0.3 * bound


class TestDLRM:
    @pytest.mark.parametrize("sparse_mlp", [None, [5, 4]])
    @pytest.mark.parametrize("interaction", ["dot", "cat"])
    def test_against_a_naive_loop(self, interaction, sparse_mlp):
        model = DLRM(2, SIZES, 4, [5, 4], [6, 1], interaction=interaction, sparse_mlp=sparse_mlp)
        dense, batch = torch.randn(6, 2), bags()

        def network(layers, x):
            for layer in layers[::2]:
                x = (layer.weight @ x + layer.bias).clamp(min=0)
            return x

        expected = []
        for x, embedded in zip(dense, model.embeddings(*batch), strict=True):
            bottom = network(model.bottom_mlp, x)
            vectors = [bottom, *(network(model.sparse_mlps[f], e) if sparse_mlp else e for f, e in enumerate(embedded))]
            if interaction == "dot":  # strictly lower triangle, row by row, dense vector in front
                vectors = [bottom, torch.stack([vectors[i] @ vectors[j] for i in range(4) for j in range(i)])]
            expected.append(model.top_mlp[2](network(model.top_mlp[:1], torch.cat(vectors)))[0])
        close(model(dense, *batch), torch.stack(expected))

    def test_matrix_factorization_is_the_special_case(self):
        factors = MatrixFactorization(7, 9, 5, std=1.0, mean=3.5)
        pairs = torch.stack([torch.arange(7), torch.arange(7) + 2], 1)
        users, items = factors.user_factors.weight, factors.item_factors.weight
        model = DLRM(0, [7, 9], 5, [], [])
        model.embeddings.weight.data = torch.cat([users, items]).data
        close(model(None, pairs) + 3.5, factors(*pairs.T))
        model(None, pairs).sum().backward()
        factors(*pairs.T).sum().backward()
        close(model.embeddings.weight.grad, torch.cat([users.grad, items.grad]))
        b, c = factors.user_biases.weight.data.normal_(), factors.item_biases.weight.data.normal_()
        model = DLRM(0, [7, 9], 7, [], [1])  # biases are two more columns
        model.embeddings.table(0).copy_(torch.cat([users.data, b, torch.ones(7, 1)], dim=1))
        model.embeddings.table(1).copy_(torch.cat([items.data, torch.ones(9, 1), c], dim=1))
        model.top_mlp[0].weight.data.fill_(1.0)
        model.top_mlp[0].bias.data.fill_(3.5)
        close(model(None, pairs), factors(*pairs.T))

    def test_sizes_of_the_public_configuration(self):
        assert [DotInteraction(27, width).width for width in (16, 128)] == [367, 479]
        assert ConcatInteraction(27, 16).width == 27 * 16
        model = DLRM(13, [10] * 26, 16, [512, 256, 64, 16], [512, 256, 1])
        assert (count(model.bottom_mlp), count(model.top_mlp)) == (155_984, 320_001)
        parts = " ".join(name for name, _ in model.named_children())
        assert parts == "embeddings bottom_mlp sparse_mlps interaction top_mlp"


class TestCross:
    @pytest.mark.parametrize(("version", "rank", "size"), [(1, None, 858), (2, None, 184_470), (2, 2, 2145)])
    def test_against_a_naive_loop(self, version, rank, size):
        assert count(CrossNetwork(429, 1, version=version, rank=rank)) == size
        network, inputs, span = CrossNetwork(4, 3, version=version, rank=rank), torch.randn(5, 4), range(4)
        for parameter in network.parameters():
            parameter.data.normal_()
        for x0, found in zip(inputs, network(inputs), strict=True):
            x = x0
            for layer in network.layers:
                if version == 1:
                    product = [sum(x[j] * layer.weight[j] for j in span)] * 4
                    x = torch.stack([x0[i] * product[i] + layer.bias[i] + x[i] for i in span])
                else:
                    last = layer.linear if rank is None else layer.linear[1]
                    matrix = last.weight if rank is None else last.weight @ layer.linear[0].weight
                    product = [sum(matrix[i, j] * x[j] for j in span) + last.bias[i] for i in span]
                    x = torch.stack([x0[i] * product[i] + x[i] for i in span])
            close(found, x)

    def test_dcn_from_its_parts(self):
        model, dense, codes = DCN(2, SIZES, 4, 2, [8, 3]), torch.randn(6, 2), single()
        x0 = torch.cat([dense, *(model.embeddings.table(f)[codes[:, f]] for f in range(3))], dim=1)
        close(model(dense, codes), model.top(torch.cat([model.cross(x0), model.deep(x0)], dim=1))[:, 0])


@pytest.mark.parametrize("name", MODELS)
class TestEachModel:
    def test_every_parameter_gets_a_gradient(self, name):
        torch.manual_seed(0)
        model = MODELS[name](2)
        for layer in model.modules():
            if isinstance(layer, nn.Linear):
                layer.bias.data += 1.0  # so that no ReLU is off for all of the few different codes
        for arguments in ((single(64),), bags(64)):
            model.zero_grad()
            model(torch.randn(64, 2), *arguments).square().sum().backward()
            for label, parameter in model.named_parameters():
                assert 0 < parameter.grad.abs().sum() < math.inf, label

    def test_the_two_forms_agree_and_rows_do_not_meet(self, name):
        model, codes, dense = MODELS[name](2), single(), torch.randn(6, 2)
        found = model(dense, codes)
        assert found.shape == (6,)
        close(found, model(dense, list(codes.T), [torch.arange(6)] * 3))
        close(found[2:4], model(dense[2:4], codes[2:4]))
        assert model(dense.float(), codes).dtype == torch.get_default_dtype()
        bare = MODELS[name](0)
        close(bare(None, codes), bare(torch.empty(6, 0), codes))

    def test_refuses_dense_features(self, name):
        model, codes, dense = MODELS[name](2), single(), torch.randn(6, 2)
        for bad in (dense[:, :1], dense[:3], None, dense[0], dense.tolist()):
            with pytest.raises(InputError, match=r"^dense: got "):
                model(bad, codes)
        dense[3, 1] = math.nan
        with pytest.raises(InputError, match=r"^dense: got nan or infinity in columns \[1\]"):
            model(dense, codes)

    def test_refuses_forms(self, name):
        model, dense, codes, (indices, offsets, weights) = MODELS[name](2), torch.randn(6, 2), single(), bags()
        codes[:, 1] = torch.tensor([0, 1, 2, 0, 1, 2])
        high, low, outside = codes.clone(), codes.clone(), [indices[0], indices[1] + 3, indices[2]]
        high[4, 1], low[4, 1] = 3, -1
        starts = [offsets[2][:4], offsets[2] * 1.0, *(offsets[2].clone() for _ in range(3))]
        starts[2][2:4], starts[3][0], starts[4][-1] = torch.tensor([2, 1]), 1, len(indices[2]) + 1  # falls, late, far
        for arguments, message in (
            *(((indices, [*offsets[:2], wrong]), "offsets of feature 2: got") for wrong in starts),
            ((high,), r"indices of feature 1: got codes 0\.\.3, expected codes in 0\.\.2"),
            ((low,), r"indices of feature 1: got codes -1\.\.2, expected codes in 0\.\.2"),
            ((codes[:, :2],), r"indices: got shape \(6, 2\), expected shape \(B, 3\)"),
            ((codes * 1.0,), "indices: got torch.float"),
            ((codes, offsets), "offsets: got a value, expected None"),
            ((codes, None, torch.ones(6, 2)), r"weights: got shape \(6, 2\)"),
            ((codes, None, weights), r"weights: got shape \(\)"),
            ((outside, offsets), "indices of feature 1: got codes"),
            ((indices[:2], offsets), "indices: got 2 vectors, expected a list of 3"),
            ((indices,), "offsets: got NoneType, expected a list of 3"),
            (([*indices[:2], indices[2][None]], offsets), "indices of feature 2: got"),
            ((indices, offsets, weights[:2]), "weights: got 2 vectors"),
            ((indices, offsets, [*weights[:2], weights[2][1:]]), "weights of feature 2: got shape"),
        ):
            with pytest.raises(InputError, match=f"^{message}"):
                model(dense, *arguments)


def dlrm(**options):
    given = {"num_dense": 2, "cardinalities": [3], "embedding_dim": 4, "bottom_mlp": [4], "top_mlp": [1]}
    DLRM(**given | options)


WRONG = {"cardinalities": ([], [3, 0]), "embedding_dim": (0,), "bottom_mlp": ([5], []), "top_mlp": ([2], [])}
WRONG |= {"interaction": ("sum",), "sparse_mlp": ([3],)}
test_refusals = refusals(
    *((name, dlrm, {name: value}) for name, values in WRONG.items() for value in values),
    ("widths", dlrm, {"bottom_mlp": [0, 4]}),
    ("num_dense", dlrm, {"num_dense": 0, "cardinalities": [3, 3]}),
    ("num_dense", dlrm, {"num_dense": -1, "bottom_mlp": []}),
    ("vectors", dlrm, {"num_dense": 0, "bottom_mlp": []}),
    *(("version", CrossNetwork, 3, 2, {"version": 3}), ("layers", CrossNetwork, 3, 0)),
    *(("rank", CrossNetwork, 3, 2, options) for options in ({"rank": 0}, {"version": 1, "rank": 2})),
    (r"x0: got shape \(5, 3\), expected shape \(B, 2\)", CrossNetwork(2, 1), torch.ones(5, 3)),
)
