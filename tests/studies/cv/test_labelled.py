"""What the studies of pictures share after pretraining."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from minift.checkpoint import load
from minift.studies.cv.labelled import common_config, train_and_test, under_new_head
from minift.studies.cv.pretrained import Source, pretrained


def test_scratch_has_nothing_of_the_trunk_but_the_same_head(tmp_path: Path) -> None:
    source = pretrained(
        Source("resnet8", num_pictures=64, image_size=8, epochs=1, batch_size=32), seed=0
    )
    source.make(tmp_path, **source.arguments)
    tuned, scratch = (
        under_new_head(tmp_path, "classify", 6, seed=1, is_scratch=is_scratch)
        for is_scratch in (False, True)
    )
    before, kept, fresh = (model.trunk.state_dict() for model in (load(tmp_path), tuned, scratch))
    for name, value in before.items():
        assert torch.equal(kept[name], value)
        if value.dim() > 1 or name.endswith("running_mean"):
            assert not torch.equal(fresh[name], value)
    for value, other in zip(scratch.head.parameters(), tuned.head.parameters()):
        assert torch.equal(value, other)


def test_the_pictures_to_judge_by_are_others() -> None:
    train, test = train_and_test("mid", 6, 6, seed=1, image_size=8)
    again, _ = train_and_test("mid", 6, 6, seed=1, image_size=8)
    assert torch.equal(train["images"], again["images"])
    assert not torch.equal(train["images"], test["images"])


@pytest.mark.parametrize("num_train", [3, 60, 1000])
def test_few_pictures_get_as_many_steps(num_train: int) -> None:
    made = common_config(num_train, batch_size=32, min_steps=150, min_epochs=3, head_lr=1, seed=0)
    assert made.batch_size <= max(1, num_train / 4)
    assert made.epochs >= 3
    assert made.epochs * (num_train // made.batch_size) >= 150
    assert (made.epochs - 1) * (num_train // made.batch_size) < 150  # and no more than that
