"""The click models against loops, hand values and each other's special cases."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from course_utils.errors import InputError
from course_utils.models.dlrm import DCN, DLRM, DNN, ConcatInteraction, CrossNetwork, DotInteraction, mlp
from course_utils.models.embedding_bags import EmbeddingBags
from course_utils.models.embedding_mf import MatrixFactorization
from course_utils.models.factorization_machines import FactorizationMachine

SIZES = [4, 3, 5]


def single(rows=6, sizes=SIZES, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randint(0, size, (rows,), generator=generator) for size in sizes], dim=1)


def bags(sizes=SIZES, rows=6, seed=0):
    """Random bags of 0 to 3 codes: lists of codes, offsets, weights."""
    generator = torch.Generator().manual_seed(seed)
    indices, offsets, weights = [], [], []
    for size in sizes:
        lengths = torch.randint(0, 4, (rows,), generator=generator)
        indices.append(torch.randint(0, size, (int(lengths.sum()),), generator=generator))
        offsets.append(lengths.cumsum(0) - lengths)
        weights.append(torch.randn(int(lengths.sum()), generator=generator))
    return indices, offsets, weights


def pool(tables, indices, offsets, weights=None):
    """One bag at a time, one code at a time: (B, F, D)."""
    rows = []
    for b in range(len(offsets[0])):
        row = []
        for f, table in enumerate(tables):
            end = offsets[f][b + 1] if b + 1 < len(offsets[f]) else len(indices[f])
            total = torch.zeros(table.shape[1])
            for place in range(int(offsets[f][b]), int(end)):
                weight = 1.0 if weights is None or weights[f] is None else weights[f][place]
                total = total + weight * table[indices[f][place]]
            row.append(total)
        rows.append(torch.stack(row))
    return torch.stack(rows)


def tables_of(model):
    return [model.embeddings.table(f) for f in range(len(model.embeddings))]


def every_model(num_dense=2):
    bottom = [5, 4] if num_dense else []
    return {
        "DLRM": DLRM(num_dense, SIZES, 4, bottom, [6, 1]),
        "DLRM, cat": DLRM(num_dense, SIZES, 4, bottom, [6, 1], interaction="cat"),
        "DLRM, sparse MLPs": DLRM(num_dense, SIZES, 4, bottom, [6, 1], sparse_mlp=[5, 4]),
        "DNN": DNN(num_dense, SIZES, 4, [8]),
        "DCN v1": DCN(num_dense, SIZES, 4, 2, [8], version=1),
        "DCN v2": DCN(num_dense, SIZES, 4, 2, [8]),
        "DCN v2, low rank, stacked": DCN(num_dense, SIZES, 4, 2, [8], rank=2, structure="stacked"),
        "FM": FactorizationMachine(SIZES, 4, num_dense=num_dense, std=0.3),
    }


NAMES = list(every_model())


class TestEmbeddingBags:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_codes_without_offsets_are_refused(self, dtype):  # torch ends the process (pytorch 175370)
        torch.set_default_dtype(dtype)
        none = torch.empty(0, dtype=torch.long)
        module = EmbeddingBags([4, 4], 3)
        with pytest.raises(InputError, match="offsets of feature 0: got none"):
            module([torch.tensor([1, 2]), torch.tensor([1])], [none, none])
        with pytest.raises(InputError, match="offsets of feature 1: got none"):
            module([none, torch.tensor([1])], [none, none])
        assert module([none, none], [none, none]).shape == (0, 2, 3)

    def test_bags_by_hand(self):
        """Clinic S1-02 and S1-03: W = 0..14, bags {1, 2} and {3, 4}."""
        module = EmbeddingBags([5], 3)
        module.table(0).copy_(torch.arange(15.0).reshape(5, 3))
        codes, offsets = [torch.tensor([1, 2, 3, 4])], [torch.tensor([0, 2])]
        assert module(codes, offsets).tolist() == [[[9, 11, 13]], [[21, 23, 25]]]
        weighted = module(codes, offsets, [torch.tensor([0.5, 2, 1, 1])])
        assert weighted[0].tolist() == [[13.5, 16, 18.5]]

    @settings(max_examples=20, deadline=None)
    @given(st.integers(0, 10_000), st.integers(1, 5), st.booleans())
    def test_against_one_hot_products_and_a_loop(self, seed, rows, weighted):
        module = EmbeddingBags(SIZES, 2)
        indices, offsets, weights = bags(rows=rows, seed=seed)
        weights = [weights[0], None, weights[2]] if weighted else None
        found = module(indices, offsets, weights)
        tables = [module.table(f) for f in range(3)]
        torch.testing.assert_close(found, pool(tables, indices, offsets, weights))
        for f, table in enumerate(tables):  # a^T W with a weighted multi-hot vector
            multi_hot = torch.zeros(rows, SIZES[f])
            owner = torch.arange(rows).repeat_interleave(
                offsets[f].diff(append=torch.tensor([len(indices[f])]))
            )
            ones = torch.ones(len(indices[f])) if not weighted or weights[f] is None else weights[f]
            multi_hot.index_put_((owner, indices[f]), ones, accumulate=True)
            torch.testing.assert_close(found[:, f], multi_hot @ table)

    def test_equals_separate_embedding_bags(self):
        module, (indices, offsets, weights) = EmbeddingBags(SIZES, 3), bags()
        plain = [nn.EmbeddingBag(size, 3, mode="sum") for size in SIZES]
        for f, bag in enumerate(plain):
            bag.weight.data = module.table(f).clone()
        parts = [
            bag(codes, begins, w)
            for bag, codes, begins, w in zip(plain, indices, offsets, weights, strict=True)
        ]
        torch.testing.assert_close(module(indices, offsets, weights), torch.stack(parts, dim=1))
        module(indices, offsets, weights).square().sum().backward()
        torch.stack(parts, dim=1).square().sum().backward()
        torch.testing.assert_close(module.weight.grad, torch.cat([bag.weight.grad for bag in plain]))

    def test_sparse_gradient_is_the_dense_one(self):
        module, batch = EmbeddingBags(SIZES, 3), bags()
        for arguments in ((single(),), batch):
            gradients = []
            for sparse in (False, True):
                module.sparse, module.weight.grad = sparse, None
                module(*arguments).square().sum().backward()
                gradients.append(module.weight.grad)
            assert gradients[1].is_sparse
            assert not gradients[0].is_sparse
            torch.testing.assert_close(gradients[1].to_dense(), gradients[0])

    def test_one_code_a_feature_is_a_bag_of_one(self):
        module, codes, weights = EmbeddingBags(SIZES, 3), single(), torch.randn(6, 3)
        lists = list(codes.T), [torch.arange(6)] * 3
        torch.testing.assert_close(module(codes), module(*lists))
        torch.testing.assert_close(module(codes, weights=weights), module(*lists, list(weights.T)))
        for form in (module.flatten(codes, None, weights), module.flatten(*lists, list(weights.T))):
            assert form.rows.tolist() == (codes + torch.tensor([0, 4, 7])).T.flatten().tolist()
            assert form.offsets.tolist() == list(range(18))
            assert form.weights.tolist() == weights.T.flatten().tolist()

    def test_short_integers_will_do(self):
        module, (indices, offsets, weights) = EmbeddingBags(SIZES, 3), bags()
        short = [codes.int() for codes in indices]
        torch.testing.assert_close(module(short, offsets, weights), module(indices, offsets, weights))
        assert module(torch.empty(0, 3, dtype=torch.long)).shape == (0, 3, 3)

    def test_an_empty_bag_is_the_zero_vector(self):
        module = EmbeddingBags([3, 3], 2)
        empty = torch.tensor([], dtype=torch.long)
        found = module([torch.tensor([1, 2]), empty], [torch.tensor([0, 0, 2]), torch.tensor([0, 0, 0])])
        assert not found[0].any()
        assert not found[2].any()
        assert not found[:, 1].any()
        torch.testing.assert_close(found[1, 0], module.table(0)[1:].sum(0))

    def test_start(self):
        module = EmbeddingBags([4, 10_000], 8)
        for table, bound in ((module.table(0), 0.5), (module.table(1), 0.01)):
            assert 0.8 * bound < table.abs().max() <= bound
            assert abs(table.mean()) < 0.3 * bound


class TestDLRM:
    def test_by_hand(self):
        model = DLRM(2, [1, 1], 2, [], [1])
        model.embeddings.table(0).copy_(torch.tensor([[2.0, 1]]))
        model.embeddings.table(1).copy_(torch.tensor([[0.0, -1]]))
        model.top_mlp[0].weight.data = torch.tensor([[0.1, 0.2, 0.3, 0.4, 0.5]])
        model.top_mlp[0].bias.data.zero_()
        features = model.interaction(torch.tensor([[1.0, 0]]), model.embeddings(torch.zeros(1, 2).long()))
        assert features.tolist() == [[1, 0, 2, 0, -1]]
        logit = model(torch.tensor([[1.0, 0]]), torch.zeros(1, 2).long())
        assert logit.item() == pytest.approx(0.2)
        assert logit.sigmoid().item() == pytest.approx(0.5498, abs=5e-5)
        loss = F.binary_cross_entropy_with_logits(logit, torch.ones(1))
        assert loss.item() == pytest.approx(0.598, abs=5e-4)

    @pytest.mark.parametrize("sparse_mlp", [None, [5, 4]])
    @pytest.mark.parametrize("interaction", ["dot", "cat"])
    def test_against_a_naive_loop(self, interaction, sparse_mlp):
        model = DLRM(2, SIZES, 4, [5, 4], [6, 1], interaction=interaction, sparse_mlp=sparse_mlp)
        dense, (indices, offsets, weights) = torch.randn(6, 2), bags()
        pooled = pool(tables_of(model), indices, offsets, weights)
        expected = []
        for b in range(6):
            x = dense[b]
            for layer in (model.bottom_mlp[0], model.bottom_mlp[2]):
                x = (layer.weight @ x + layer.bias).clamp(min=0)
            vectors = [x]
            for f in range(3):
                e = pooled[b, f]
                if sparse_mlp:
                    for layer in (model.sparse_mlps[f][0], model.sparse_mlps[f][2]):
                        e = (layer.weight @ e + layer.bias).clamp(min=0)
                vectors.append(e)
            if interaction == "dot":  # strictly lower triangle, row by row, dense vector in front
                pairs = [vectors[i] @ vectors[j] for i in range(4) for j in range(i)]
                z = torch.cat([x, torch.stack(pairs)])
            else:
                z = torch.cat(vectors)
            first, last = model.top_mlp[0], model.top_mlp[2]
            hidden = (first.weight @ z + first.bias).clamp(min=0)
            expected.append(last.weight[0] @ hidden + last.bias[0])
        torch.testing.assert_close(model(dense, indices, offsets, weights), torch.stack(expected))

    def test_matrix_factorization_is_the_special_case(self):
        factors = MatrixFactorization(7, 9, 5, biases=False, std=1.0)
        model = DLRM(0, [7, 9], 5, [], [])
        model.embeddings.table(0).copy_(factors.user_factors.weight.detach())
        model.embeddings.table(1).copy_(factors.item_factors.weight.detach())
        users, items = torch.arange(7), torch.arange(7) + 2
        logits = model(None, torch.stack([users, items], dim=1))
        torch.testing.assert_close(logits, factors(users, items))
        logits.square().sum().backward()
        factors(users, items).square().sum().backward()
        both = torch.cat([factors.user_factors.weight.grad, factors.item_factors.weight.grad])
        torch.testing.assert_close(model.embeddings.weight.grad, both)

    def test_biases_are_two_more_columns(self):
        factors = MatrixFactorization(7, 9, 5, std=1.0, mean=3.5)
        factors.user_biases.weight.data.normal_()
        factors.item_biases.weight.data.normal_()
        model = DLRM(0, [7, 9], 7, [], [1])
        users, items = factors.user_factors.weight, factors.item_factors.weight
        ones = torch.ones(9, 1)
        model.embeddings.table(0).copy_(torch.cat([users, factors.user_biases.weight, ones[:7]], dim=1).data)
        model.embeddings.table(1).copy_(torch.cat([items, ones, factors.item_biases.weight], dim=1).data)
        model.top_mlp[0].weight.data.fill_(1.0)
        model.top_mlp[0].bias.data.fill_(3.5)
        pairs = torch.stack([torch.arange(7), torch.arange(7) + 2], dim=1)
        torch.testing.assert_close(model(None, pairs), factors(*pairs.T))

    @pytest.mark.parametrize(("width", "expected"), [(16, 367), (128, 479)])
    def test_width_of_the_top(self, width, expected):
        assert DotInteraction(27, width).width == expected
        assert ConcatInteraction(27, width).width == 27 * width

    def test_parameters_of_the_public_configuration(self):
        def count(module):
            return sum(p.numel() for p in module.parameters())

        model = DLRM(13, [10] * 26, 16, [512, 256, 64, 16], [512, 256, 1])
        assert count(model.bottom_mlp) == 155_984
        assert count(model.top_mlp) == 320_001
        assert [name for name, _ in model.named_children()] == [
            "embeddings", "bottom_mlp", "sparse_mlps", "interaction", "top_mlp",
        ]  # fmt: skip


class TestCross:
    def test_by_hand(self):
        x0 = torch.tensor([[1.0, 2]])
        one, two = CrossNetwork(2, 2, version=1), CrossNetwork(2, 2, version=2)
        for layer, weight in zip(one.layers, ([0.5, -1], [1.0, 1]), strict=True):
            layer.weight.data = torch.tensor(weight)
        for layer in two.layers:
            layer.linear.weight.data = torch.tensor([[0.0, 1], [1, 0]])
            layer.linear.bias.data.zero_()
        assert one.layers[0](x0, x0).tolist() == [[-0.5, -1]]
        assert one(x0).tolist() == [[-2, -4]]
        assert two.layers[0](x0, x0).tolist() == [[3, 4]]
        assert two(x0).tolist() == [[7, 10]]

    @pytest.mark.parametrize(("version", "rank"), [(1, None), (2, None), (2, 2)])
    def test_against_a_naive_loop(self, version, rank):
        network = CrossNetwork(4, 3, version=version, rank=rank)
        for parameter in network.parameters():
            parameter.data.normal_()
        inputs = torch.randn(5, 4)
        expected = torch.empty(5, 4)
        for b, x0 in enumerate(inputs.tolist()):
            x = list(x0)
            for layer in network.layers:
                if version == 1:
                    product = sum(x[j] * layer.weight[j].item() for j in range(4))
                    x = [x0[i] * product + layer.bias[i].item() + x[i] for i in range(4)]
                else:
                    linear = layer.linear if rank is None else layer.linear[1]
                    matrix = linear.weight if rank is None else linear.weight @ layer.linear[0].weight
                    wx = [sum(matrix[i, j].item() * x[j] for j in range(4)) for i in range(4)]
                    x = [x0[i] * (wx[i] + linear.bias[i].item()) + x[i] for i in range(4)]
            expected[b] = torch.tensor(x)
        torch.testing.assert_close(network(inputs), expected)

    @pytest.mark.parametrize(
        ("version", "rank", "expected"), [(1, None, 858), (2, None, 184_470), (2, 64, 55_341)]
    )
    def test_parameters_of_a_layer(self, version, rank, expected):
        network = CrossNetwork(429, 1, version=version, rank=rank)
        assert sum(p.numel() for p in network.parameters()) == expected

    def test_version_1_gives_multiples_of_the_input(self):
        x0 = torch.randn(3, 4)
        ratio = CrossNetwork(4, 3, version=1)(x0) / x0
        torch.testing.assert_close(ratio, ratio[:, :1].expand(3, 4))

    def test_dcn_from_its_parts(self):
        dense, codes = torch.randn(6, 2), single()
        x0 = torch.cat([dense, EmbeddingBags(SIZES, 4)(codes).flatten(1)], dim=1)
        for structure in ("parallel", "stacked"):
            model = DCN(2, SIZES, 4, 2, [8, 3], structure=structure)
            x0 = torch.cat([dense, *(model.embeddings.table(f)[codes[:, f]] for f in range(3))], dim=1)
            if structure == "parallel":
                expected = model.top(torch.cat([model.cross(x0), model.deep(x0)], dim=1))
            else:
                expected = model.top(model.deep(model.cross(x0)))
            torch.testing.assert_close(model(dense, codes), expected[:, 0])


@pytest.mark.parametrize("name", NAMES)
class TestEachModel:
    def test_every_parameter_gets_a_gradient(self, name):
        torch.manual_seed(0)
        model = every_model()[name]
        for layer in model.modules():
            if isinstance(layer, nn.Linear) and layer.bias is not None:
                layer.bias.data += 1.0  # so that no ReLU is off for all of the few different codes
        for arguments in ((single(64),), bags(rows=64)):
            model.zero_grad()
            model(torch.randn(64, 2), *arguments).square().sum().backward()
            for label, parameter in model.named_parameters():
                assert parameter.grad is not None, label
                assert parameter.grad.abs().sum() > 0, label
                assert parameter.grad.isfinite().all(), label

    def test_the_two_forms_agree(self, name):
        model, codes, dense = every_model()[name], single(), torch.randn(6, 2)
        lists = list(codes.T), [torch.arange(6)] * 3
        assert model(dense, codes).shape == (6,)
        torch.testing.assert_close(model(dense, codes), model(dense, *lists))

    def test_rows_do_not_meet(self, name):
        model, codes, dense = every_model()[name], single(), torch.randn(6, 2)
        torch.testing.assert_close(model(dense, codes)[2:4], model(dense[2:4], codes[2:4]))

    def test_without_dense_features(self, name):
        model, codes = every_model(num_dense=0)[name], single()
        torch.testing.assert_close(model(None, codes), model(torch.empty(6, 0), codes))

    def test_float32_features(self, name):
        model, codes, dense = every_model()[name], single(), torch.randn(6, 2)
        assert model(dense.float(), codes).dtype == torch.get_default_dtype()

    def test_refuses_dense_features(self, name):
        model, codes, dense = every_model()[name], single(), torch.randn(6, 2)
        for bad in (dense[:, :1], dense[:3], None, dense[0]):
            with pytest.raises(InputError, match=r"^dense: got "):
                model(bad, codes)
        dense[3, 1] = math.nan
        with pytest.raises(InputError, match=r"^dense: got nan or infinity in columns \[1\]"):
            model(dense, codes)

    def test_refuses_codes(self, name):
        model, codes, dense = every_model()[name], single(), torch.randn(6, 2)
        codes[4, 1] = 3
        with pytest.raises(
            InputError, match=r"^indices of feature 1: got codes 0\.\.3, expected codes in 0\.\.2"
        ):
            model(dense, codes)
        codes[4, 1] = -1
        with pytest.raises(InputError, match=r"^indices of feature 1: got codes -1\.\."):
            model(dense, codes)
        with pytest.raises(InputError, match=r"^indices: got shape \(6, 2\), expected \(B, 3\)"):
            model(dense, codes[:, :2])
        with pytest.raises(InputError, match=r"^indices: got torch.float"):
            model(dense, codes * 1.0)

    def test_refuses_lists(self, name):
        model, dense = every_model()[name], torch.randn(6, 2)
        indices, offsets, weights = bags()
        outside = [indices[0], indices[1] + 3, indices[2]]
        falling = offsets[2].clone()
        falling[2] = falling[1] - 1
        late, far = offsets[2] + 1, offsets[2].clone()
        far[-1] = len(indices[2]) + 1
        for arguments, message in (
            ((outside, offsets), "indices of feature 1: got codes"),
            ((indices[:2], offsets), "indices: got 2 vectors, expected a list of 3"),
            ((indices,), "offsets: got NoneType, expected a list of 3"),
            ((indices, [*offsets[:2], falling]), "offsets of feature 2: got"),
            ((indices, [*offsets[:2], late]), "offsets of feature 2: got"),
            ((indices, [*offsets[:2], far]), "offsets of feature 2: got"),
            ((indices, [*offsets[:2], offsets[2][:4]]), "indices, offsets of feature 2: got shapes"),
            ((indices, offsets, weights[:2]), "weights: got 2 vectors"),
            ((indices, offsets, [*weights[:2], weights[2][1:]]), "weights of feature 2: got shape"),
        ):
            with pytest.raises(InputError, match=f"^{message}"):
                model(dense, *arguments)
        with pytest.raises(InputError, match=r"^offsets: got a value, expected None"):
            model(dense, single(), offsets)
        with pytest.raises(InputError, match=r"^weights: got shape \(6, 2\)"):
            model(dense, single(), None, torch.ones(6, 2))


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "name"),
        [
            ((2, [], 4, [4], [1]), "cardinalities"),
            ((2, [3, 0], 4, [4], [1]), "cardinalities"),
            ((2, [3], 0, [4], [1]), "embedding_dim"),
            ((2, [3], 4, [5], [1]), "bottom_mlp"),
            ((2, [3], 4, [], [1]), "bottom_mlp"),
            ((2, [3], 4, [0, 4], [1]), "widths"),
            ((2, [3], 4, [4], [2]), "top_mlp"),
            ((2, [3], 4, [4], []), "top_mlp"),
            ((0, [3, 3], 4, [4], [1]), "num_dense"),
            ((-1, [3, 3], 4, [], [1]), "num_dense"),
            ((0, [3], 4, [], [1]), "vectors"),
        ],
    )
    def test_dlrm(self, arguments, name):
        with pytest.raises(InputError, match=f"^{name}: got"):
            DLRM(*arguments)

    def test_options(self):
        for options, name in (({"interaction": "sum"}, "interaction"), ({"sparse_mlp": [3]}, "sparse_mlp")):
            with pytest.raises(InputError, match=f"^{name}: got"):
                DLRM(2, [3], 4, [4], [1], **options)
        for options, name in (
            ({"version": 3}, "version"),
            ({"rank": 0}, "rank"),
            ({"version": 1, "rank": 2}, "rank"),
            ({"structure": "both"}, "structure"),
        ):
            with pytest.raises(InputError, match=f"^{name}: got"):
                DCN(2, [3], 4, 2, [4], **options)
        with pytest.raises(InputError, match=r"^layers: got 0"):
            DCN(2, [3], 4, 0, [4])
        with pytest.raises(InputError, match=r"^x0: got shape \(5, 3\), expected \(B, 2\)"):
            CrossNetwork(2, 1)(torch.ones(5, 3))

    def test_mlp(self):
        assert len(mlp([3])) == 0
        assert [type(layer) for layer in mlp([3, 2, 1])] == [nn.Linear, nn.ReLU] * 2
        assert [type(layer) for layer in mlp([3, 2, 1], last_relu=False)] == [nn.Linear, nn.ReLU, nn.Linear]
