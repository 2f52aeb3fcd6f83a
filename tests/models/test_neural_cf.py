import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from course_utils.data.interactions import Interactions
from course_utils.errors import InputError
from course_utils.evaluation import measure_lists
from course_utils.models.embedding_mf import MatrixFactorization
from course_utils.models.neural_cf import GMF, MLP, NeuMF

LEARNT = [GMF, MLP, NeuMF]
USERS, ITEMS = torch.tensor([[0], [3], [4]]), torch.tensor([[0, 5], [2, 2], [6, 1]])


def made(kind, **options):
    model = kind(5, 7, 4, std=0.5, **options)
    nn.init.normal_(model.user_biases.weight)
    return model


class TestFormulas:
    def test_gmf_with_ones_is_the_dot_product(self):
        model, dot = made(GMF), MatrixFactorization(5, 7, 4)
        nn.init.ones_(model.head.weight)
        dot.load_state_dict({name: value for name, value in model.state_dict().items() if "head" not in name})
        torch.testing.assert_close(model(USERS, ITEMS), dot(USERS, ITEMS))

    def test_mlp_is_layers_on_both_vectors_side_by_side(self):
        model = made(MLP, widths=(6, 3))
        layers = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3), nn.ReLU(), nn.Linear(3, 1, bias=False))
        tower = model.tower
        with torch.no_grad():
            layers[0].weight.copy_(torch.cat([tower.user_part.weight, tower.item_part.weight], dim=1))
            layers[0].bias.copy_(tower.user_part.bias)
        layers[2].load_state_dict(tower.layers[0].state_dict())
        layers[4].load_state_dict(model.head.state_dict())
        for users, items in zip(USERS.expand(3, 2).flatten(), ITEMS.flatten(), strict=True):
            both = torch.cat([model.user_factors.weight[users], model.item_factors.weight[items]])
            bias = model.mean + model.user_biases.weight[users, 0] + model.item_biases.weight[items, 0]
            torch.testing.assert_close(model(users, items), layers(both)[0] + bias)

    def test_neumf_is_the_sum_of_its_parts(self):
        model, gmf, mlp = made(NeuMF), made(GMF), made(MLP)
        with torch.no_grad():
            gmf.load_state_dict(model.state_dict() | {"head.weight": model.head.weight[:, :4]}, strict=False)
            shared = {name: value for name, value in model.state_dict().items() if "tower." in name}
            mlp.load_state_dict(shared | {"head.weight": model.head.weight[:, 4:]}, strict=False)
            mlp.user_factors, mlp.item_factors = model.tower_users, model.tower_items
        expected = gmf(USERS, ITEMS) + mlp.match(USERS, ITEMS)
        torch.testing.assert_close(model(USERS, ITEMS), expected)

    @pytest.mark.parametrize("kind", LEARNT)
    def test_scores_are_the_pairs(self, kind):
        model = made(kind)
        pairs = model(torch.arange(5).repeat_interleave(7), torch.arange(7).repeat(5))
        torch.testing.assert_close(model.score([4, 0]), pairs.detach().view(5, 7)[[4, 0]])

    @pytest.mark.parametrize("kind", LEARNT)
    def test_a_pair_pays_for_what_it_uses(self, kind):
        model, users, items = made(kind), torch.tensor([0, 0, 3]), torch.tensor([1, 2, 1])
        tables = [(model.user_factors, users), (model.item_factors, items)]
        tables += [(model.tower_users, users), (model.tower_items, items)] if kind is NeuMF else []
        vectors = sum(table(codes).square().sum() / 3 for table, codes in tables)
        layers = [module.weight for module in model.modules() if isinstance(module, nn.Linear)]
        expected = vectors + sum(weight.square().sum() for weight in layers)
        torch.testing.assert_close(model.penalty(users, items), expected)

    def test_number_of_parameters(self):
        counts = [sum(p.numel() for p in kind(5, 7, 4, widths=(6, 3)).parameters()) for kind in (MLP, NeuMF)]
        tables, biases, tower = 12 * 4, 12 + 1, (8 * 6 + 6) + (6 * 3 + 3)
        assert counts == [tables + biases + tower + 3, 2 * tables + biases + tower + 3 + 4]


@pytest.mark.parametrize("kind", LEARNT)
def test_the_start_is_the_seed_s_and_training_finds_the_kinds(kind):
    state = made(kind).state_dict()
    assert all(torch.equal(value, made(kind).state_dict()[name]) for name, value in state.items() if "bias" not in name)
    tables = [value for name, value in state.items() if "factors" in name or name.startswith("tower_")]
    assert len({table.sum().item() for table in tables}) == len(tables)  # no two start alike
    draw = np.random.default_rng(0)
    likes = np.argwhere(draw.random((40, 30)) < np.where(np.arange(40)[:, None] % 2 == np.arange(30) % 2, 0.5, 0.03))
    test = draw.random(len(likes)) < 0.25

    def coded(pairs):
        frame = pd.DataFrame(pairs, columns=["user_id", "item_id"])
        return Interactions.from_frame(frame, user_ids=range(40), item_ids=range(30))

    parts, model = (coded(likes[~test]), coded(likes[test])), kind(40, 30, 8)
    before = measure_lists(model, *parts)["ndcg@10"]
    model.fit(parts[0], loss="bce", epochs=40, lr=0.02, regularization=1e-3, negatives=4, batch_size=64)
    assert measure_lists(model, *parts)["ndcg@10"] > 0.35 > before


@pytest.mark.parametrize("bad", [{"factors": 0}, {"std": 0.0}, {"widths": (0,)}, {"widths": ()}])
def test_bad_input_names_the_argument(bad):
    with pytest.raises(InputError, match=f"^{next(iter(bad))}: got"):
        NeuMF(5, 7, **bad)
