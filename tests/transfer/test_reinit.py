"""Re-initialisation: the top changes, all the rest does not."""

from __future__ import annotations

import pytest
import torch

from minift.transfer.reinit import reinit_top


@pytest.mark.parametrize("num_stages", [0, 1, 2, 3])
def test_only_the_top_stages_change(make_model, snapshot, moved, num_stages):
    model = make_model("tied")
    before = snapshot(model)
    names = reinit_top(model, num_stages)
    assert names == ["embedding", "block0", "block1"][3 - num_stages :]
    of_stages = {n for n in moved(before, model) if n.startswith("trunk.")}
    assert {name.split(".")[2] for name in of_stages} == set(names)
    assert "head.bias" not in moved(before, model)


def test_running_statistics_are_drawn_back_too(make_model):
    model = make_model()
    norm = model.trunk.stages["block1"].norm
    norm.running_mean.fill_(5.0)
    reinit_top(model, 1)
    assert (norm.running_mean == 0).all()


def test_seed_repeats_the_draw_and_leaves_the_global_generator_alone(make_model):
    one, other = make_model(seed=0), make_model(seed=1)
    state = torch.random.get_rng_state()
    reinit_top(one, 1, seed=7)
    reinit_top(other, 1, seed=7)
    assert torch.equal(torch.random.get_rng_state(), state)
    blocks = [model.trunk.stages["block1"].linear.weight for model in (one, other)]
    assert torch.equal(*blocks)


def test_without_seed_every_draw_differs(make_model):
    model = make_model()
    weight = model.trunk.stages["block1"].linear.weight
    reinit_top(model, 1)
    first = weight.clone()
    reinit_top(model, 1)
    assert not torch.equal(first, weight)


@pytest.mark.parametrize("num_stages", [-1, 4])
def test_more_stages_than_there_are_is_refused(make_model, num_stages):
    with pytest.raises(ValueError, match=rf"num_stages must be in 0\.\.3 .*got {num_stages}"):
        reinit_top(make_model(), num_stages)
