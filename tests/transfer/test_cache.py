"""The cached trunk: training from it is the training it replaces."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from minift.transfer.cache import cache_trunk
from minift.transfer.freeze import freeze


@pytest.mark.parametrize("num_frozen", [1, 2, 3])
def test_training_from_the_cache_equals_training_without(make_model, dataset, num_frozen):
    plain, fast = make_model(), make_model()
    for model in (plain, fast):
        freeze(model, num_frozen)
    cached = cache_trunk(fast, dataset, batch_size=5)

    for model in (plain, fast):
        torch.manual_seed(0)  # of the dropout above the frozen part
        optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
        for step in range(6):
            rows = torch.arange(8) + 8 * (step % 4)
            model.train()
            if model is fast:
                batch = cached.take(rows)
                logits = model.forward_from(batch["flow"], start=cached.start)
            else:
                batch = {name: column[rows] for name, column in dataset.items()}
                logits = model(**{name: batch[name] for name in model.input_names})
            optimizer.zero_grad()
            F.cross_entropy(logits, batch["labels"]).backward()
            optimizer.step()

    # Not bit for bit: rows were cached in batches of another size.
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(fast.state_dict()[name], value, rtol=1e-4, atol=1e-5)


def test_frozen_stages_run_once_and_never_again(make_model, dataset):
    model = make_model()
    freeze(model, 2)
    calls = []
    model.trunk.stages["block0"].register_forward_hook(lambda *_: calls.append(1))
    cached = cache_trunk(model, dataset, batch_size=8)
    for _ in range(10):
        model.forward_from(cached.take(torch.arange(32))["flow"], start=cached.start)
    assert len(calls) == 32 / 8


def test_cache_holds_all_rows_in_order_and_what_is_no_input(make_model, dataset):
    model = make_model()
    freeze(model, 1)
    cached = cache_trunk(model, dataset, batch_size=5)
    assert len(cached) == 32
    assert set(cached.targets) == {"labels"}
    rows = torch.tensor([7, 3, 30])
    batch = cached.take(rows)
    assert torch.equal(batch["labels"], dataset["labels"][rows])
    assert torch.equal(batch["flow"].mask, dataset["attention_mask"][rows])
    embedded = model.trunk.stages["embedding"].token(dataset["input_ids"][rows])
    assert torch.equal(batch["flow"].hidden, embedded)


def test_batches_may_come_from_a_loader(make_model, dataset):
    model = make_model()
    freeze(model, 2)
    batches = ({k: v[i : i + 10] for k, v in dataset.items()} for i in range(0, 32, 10))
    from_batches, from_dataset = cache_trunk(model, batches), cache_trunk(model, dataset)
    torch.testing.assert_close(from_batches.flow, from_dataset.flow)
    assert torch.equal(from_batches.targets["labels"], dataset["labels"])


def test_caching_changes_nothing_in_the_model(make_model, dataset, snapshot, moved):
    model = make_model()
    freeze(model, 2)
    model.train()
    before = snapshot(model)
    cache_trunk(model, dataset)
    assert not moved(before, model)
    assert model.trunk.stages["block1"].training


def test_model_without_frozen_stages_is_refused(make_model, dataset):
    with pytest.raises(ValueError, match="got num_frozen = 0"):
        cache_trunk(make_model(), dataset)


def test_head_that_reads_a_frozen_stage_is_refused(make_model, dataset):
    model = make_model("taps")
    freeze(model, 1)
    with pytest.raises(ValueError, match=r"\['embedding'\], which its head reads"):
        cache_trunk(model, dataset)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"images": torch.zeros(4, 3)}, r"data must hold some of .*'images'"),
        ([], "at least one row"),
    ],
)
def test_data_without_inputs_or_rows_is_refused(make_model, data, message):
    model = make_model()
    freeze(model, 1)
    with pytest.raises(ValueError, match=message):
        cache_trunk(model, data)
