"""The pictures' story in full: the chapter's claims come out at a fixed seed, with margins."""

from __future__ import annotations

import pytest

from minift.recipes import story_cv

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    settings = story_cv.StorySettings(progress=False)
    return story_cv.tell_story(settings, tmp_path_factory.mktemp("cv"))


def test_pretraining_learns_the_source_shapes(pictures):
    assert pictures.source_accuracy > 0.8


@pytest.mark.parametrize("method", ["feature extraction", "freeze 4 stages", "fine-tune all"])
def test_pretrained_pictures_beat_scratch_at_few_labels(pictures, method):
    target = "100 new shapes"

    assert pictures.score(target, method) > pictures.score(target, "from scratch") + 0.1


def test_pretrained_trunk_helps_segmentation(pictures):
    target = "200 masks"

    best = max(
        pictures.score(target, method)
        for method in ("feature extraction", "freeze 4 stages", "fine-tune all")
    )
    assert best > pictures.score(target, "from scratch") + 0.05


def test_more_labels_turn_the_order_of_features_and_fine_tuning(pictures):
    few, many = "100 new shapes", "1000 new shapes"

    def lead(target: str) -> float:
        return pictures.score(target, "fine-tune all") - pictures.score(
            target, "feature extraction"
        )

    assert lead(many) > lead(few)
