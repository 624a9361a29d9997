"""The loop: it learns, resumes exactly, keeps the best, stops when it should, disturbs nothing."""

from __future__ import annotations

import dataclasses
import json
import math
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minift.optim import Adam
from minift.stages import Model, Staged
from minift.training import FitConfig, History, NonFiniteLossError, evaluate, fit
from minift.training.loop import fingerprint

QUIET = FitConfig(num_steps=30, progress=False)


class DroppingNet(nn.Module):
    """Dropout and BatchNorm: the two layers whose behaviour depends on more than weights."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def make_net(kind: Callable[[], nn.Module] = DroppingNet) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return kind()


def linear_net() -> nn.Module:
    return make_net(lambda: nn.Linear(4, 3))


def batches(number: int, num_rows: int = 8) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(number)
    x = torch.randn(num_rows, 4, generator=generator)
    return {"x": x, "labels": x[:, :3].argmax(1)}


def loss_fn(model: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    logits = model(batch["x"])
    accuracy = (logits.argmax(1) == batch["labels"]).float().mean()
    return F.cross_entropy(logits, batch["labels"]), {"accuracy": accuracy}


def adamw(model: nn.Module, lr: float = 1e-2) -> torch.optim.Optimizer:
    return Adam(model.parameters(), lr=lr, weight_decay=0.01)


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: t.clone() for name, t in model.state_dict().items()}


class KilledError(Exception):
    pass


def killed_at(step: int) -> Callable[[int], dict[str, Tensor]]:
    def source(number: int) -> dict[str, Tensor]:
        if number == step:
            raise KilledError
        return batches(number)

    return source


# Learning


def test_one_batch_can_be_learnt_by_heart() -> None:
    model = linear_net()
    config = dataclasses.replace(QUIET, num_steps=100)
    history = fit(model, lambda step: batches(0), loss_fn, adamw(model, lr=0.1), config)
    assert history.records[-1]["loss"] < 0.1 < history.records[0]["loss"]
    assert history.records[-1]["figures"]["accuracy"] == 1.0
    assert history.steps_run == 100


def test_history_is_plain_json_and_averages_between_records() -> None:
    model = linear_net()
    seen: list[float] = []

    def noting(model: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        loss, _ = loss_fn(model, batch)
        seen.append(loss.item())
        return loss, {"number": float(len(seen))}

    config = dataclasses.replace(QUIET, num_steps=7, log_every=3)
    history = fit(model, batches, noting, adamw(model), config)
    assert json.loads(json.dumps(dataclasses.asdict(history)))["steps_run"] == 7
    assert [record["step"] for record in history.records] == [3, 6, 7]
    assert [record["figures"]["number"] for record in history.records] == [2.0, 5.0, 7.0]
    assert history.records[1]["loss"] == pytest.approx(sum(seen[3:6]) / 3)
    assert history.seconds > 0


def test_rates_are_the_peak_of_each_group_times_the_schedule() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3))
    groups = [
        {"params": model[0].parameters(), "lr": 0.01},
        {"params": model[1].parameters(), "lr": 0.1},
    ]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    config = dataclasses.replace(QUIET, num_steps=4, log_every=1)
    history = fit(model, batches, loss_fn, optimizer, config, schedule=lambda step: 1 / (step + 1))
    assert [r["lr"] for r in history.records] == pytest.approx([0.1, 0.05, 0.1 / 3, 0.025])
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.0025, 0.025])


def test_accumulated_batches_equal_one_large_batch() -> None:
    def joined(number: int) -> dict[str, Tensor]:
        parts = [batches(3 * number + k) for k in range(3)]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    small, large = linear_net(), linear_net()
    config = dataclasses.replace(QUIET, num_steps=10)
    accumulating = dataclasses.replace(config, accumulate=3)
    ours = fit(small, batches, loss_fn, torch.optim.SGD(small.parameters(), 0.5), accumulating)
    theirs = fit(large, joined, loss_fn, torch.optim.SGD(large.parameters(), 0.5), config)
    torch.testing.assert_close(small.state_dict(), large.state_dict(), rtol=1e-4, atol=1e-6)
    assert ours.records[-1]["loss"] == pytest.approx(theirs.records[-1]["loss"], rel=1e-4)


def test_gradients_are_clipped_to_the_norm() -> None:
    model = linear_net()
    before = weights_of(model)
    config = dataclasses.replace(QUIET, num_steps=1, clip_norm=1e-3)
    fit(model, batches, loss_fn, torch.optim.SGD(model.parameters(), lr=1.0), config)
    moved = sum((model.state_dict()[name] - before[name]).square().sum() for name in before)
    assert moved.sqrt().item() == pytest.approx(1e-3, rel=1e-2)


def test_no_clipping_leaves_gradients_as_they_are() -> None:
    clipped, free = linear_net(), linear_net()
    for model, clip_norm in ((clipped, 1e6), (free, None)):
        config = dataclasses.replace(QUIET, clip_norm=clip_norm)
        fit(model, batches, loss_fn, adamw(model), config)
    assert same(clipped.state_dict(), free.state_dict())


def test_penalty_is_added_once_a_step() -> None:
    model = linear_net()
    before = weights_of(model)

    def no_loss(model: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, dict]:
        return 0.0 * model(batch["x"]).sum(), {}

    def penalty(model: nn.Module) -> Tensor:
        return sum(p.square().sum() for p in model.parameters()) / 2

    config = dataclasses.replace(QUIET, num_steps=1, accumulate=4, clip_norm=None)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    history = fit(model, batches, no_loss, optimizer, config, penalty=penalty)
    torch.testing.assert_close(model.state_dict(), {name: 0.9 * t for name, t in before.items()})
    assert history.records[0]["loss"] > 0


def test_bf16_keeps_weights_in_fp32_and_learns() -> None:
    model = linear_net()
    config = dataclasses.replace(QUIET, num_steps=60, precision="bf16")
    history = fit(model, lambda step: batches(0), loss_fn, adamw(model, lr=0.1), config)
    assert all(p.dtype == torch.float32 for p in model.parameters())
    assert history.records[-1]["loss"] < 0.3


# Chance, and going on after a kill


def test_resumed_run_equals_an_unbroken_one_bit_by_bit(tmp_path: Path) -> None:
    config = dataclasses.replace(QUIET, num_steps=23, save_every=5, validate_every=4, log_every=7)
    held_out = [batches(1000, num_rows=64)]

    def run(source: Callable[[int], dict[str, Tensor]], model: nn.Module, name: str) -> History:
        return fit(
            model,
            source,
            loss_fn,
            adamw(model),
            config,
            schedule=lambda step: 1 - step / 23,
            validate=lambda: evaluate(model, held_out, loss_fn),
            resume_path=tmp_path / name,
        )

    straight = make_net()
    unbroken = run(batches, straight, "straight.pt")
    with pytest.raises(KilledError):
        run(killed_at(13), make_net(), "broken.pt")
    resumed_model = make_net()
    for p in resumed_model.parameters():
        nn.init.zeros_(p)  # whatever it starts from, the file decides
    resumed = run(batches, resumed_model, "broken.pt")

    assert same(straight.state_dict(), resumed_model.state_dict())
    for history in (unbroken, resumed):
        history.seconds = 0.0
    assert unbroken == resumed


def test_run_goes_on_from_its_last_save(tmp_path: Path) -> None:
    path = tmp_path / "run" / "resume.pt"
    config = dataclasses.replace(QUIET, save_every=5)
    model = linear_net()
    with pytest.raises(KilledError):
        fit(model, killed_at(12), loss_fn, adamw(model), config, resume_path=path)
    assert path.exists()
    seen: list[int] = []

    def noting(number: int) -> dict[str, Tensor]:
        seen.append(number)
        return batches(number)

    fit(model, noting, loss_fn, adamw(model), config, resume_path=path)
    assert seen == list(range(10, 30))


@pytest.mark.parametrize("patience", [None, 1])
def test_finished_run_can_be_asked_for_again_until_its_file_is_deleted(
    tmp_path: Path, patience: int | None
) -> None:
    config = dataclasses.replace(QUIET, save_every=7, validate_every=4, patience=patience)

    def run(source: Callable[[int], dict[str, Tensor]], model: nn.Module, scores: list) -> History:
        path, optimizer = tmp_path / "resume.pt", adamw(model)
        validate = replaying(scores)
        return fit(model, source, loss_fn, optimizer, config, validate=validate, resume_path=path)

    first, second = linear_net(), linear_net()
    done = run(batches, first, [0.2, 0.5, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])
    again = run(killed_at(done.steps_run), second, [])

    assert done.stopped_early is (patience is not None)
    assert again == done
    assert same(first.state_dict(), second.state_dict())


def test_run_without_save_every_writes_nothing(tmp_path: Path) -> None:
    model = linear_net()
    fit(model, batches, loss_fn, adamw(model), QUIET, resume_path=tmp_path / "resume.pt")
    assert list(tmp_path.iterdir()) == []


def test_finished_run_that_is_asked_for_again_is_frozen_as_it_ended(tmp_path: Path) -> None:
    config = dataclasses.replace(QUIET, num_steps=4, save_every=4)
    for _ in range(2):
        model = make_net(StagedNet)
        optimizer, path = adamw(model), tmp_path / "resume.pt"
        num_frozen_at = lambda step: 3 - step // 2  # noqa: E731
        fit(model, batches, loss_fn, optimizer, config, num_frozen_at=num_frozen_at,
            resume_path=path)  # fmt: skip
        assert model.trunk.num_frozen == 2


def test_resume_file_of_another_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "resume.pt"
    config = dataclasses.replace(QUIET, save_every=5)
    model = linear_net()
    with pytest.raises(KilledError):
        fit(model, killed_at(12), loss_fn, adamw(model), config, resume_path=path)
    longer = dataclasses.replace(config, num_steps=60)
    with pytest.raises(ValueError, match=r"resume.pt: was written with num_steps = 30, now it"):
        fit(model, batches, loss_fn, adamw(model), longer, resume_path=path)
    other = make_net()
    with pytest.raises(ValueError, match=r"resume.pt: was written by another model"):
        fit(other, batches, loss_fn, adamw(other), config, resume_path=path)
    saved = torch.load(path, weights_only=True)
    torch.save({**saved, "history": {"another version's": 1}}, path)
    with pytest.raises(ValueError, match=r"resume.pt: was written by another model"):
        fit(model, batches, loss_fn, adamw(model), config, resume_path=path)
    torch.save({"history": {}, "weight": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match=r"resume.pt: is not a resume file"):
        fit(model, batches, loss_fn, adamw(model), config, resume_path=path)


def test_resume_file_of_other_settings_is_refused_and_the_setting_is_named(tmp_path: Path) -> None:
    config = dataclasses.replace(QUIET, save_every=5)
    model = linear_net()

    def run(**settings: object) -> None:
        path, optimizer = tmp_path / "resume.pt", adamw(model)
        fit(model, batches, loss_fn, optimizer, config, settings=settings, resume_path=path)

    run(batch_size=8, betas=(0.9, 0.99), data="1a2b")
    run(batch_size=8, betas=(0.9, 0.99), data="1a2b", save_every=3)
    with pytest.raises(ValueError, match=r"resume.pt: was written with batch_size = 8, now it is"):
        run(batch_size=4, betas=(0.9, 0.99), data="1a2b")
    with pytest.raises(ValueError, match=r"was written with data = 1a2b, now it is None"):
        run(batch_size=8, betas=(0.9, 0.99))


def test_fingerprint_knows_data_again_and_tells_others_from_it() -> None:
    rows = {"x": torch.arange(6).view(2, 3), "labels": torch.zeros(())}
    others = [
        {"x": rows["x"], "y": rows["labels"]},
        {"x": rows["x"] + 1, "labels": rows["labels"]},
        {"x": rows["x"].view(3, 2), "labels": rows["labels"]},
        {"x": rows["x"].float(), "labels": rows["labels"]},
        [[[5, 6], [7]]],
        [[[5, 6, 7]]],
        [torch.zeros(2000), torch.zeros(2000)],
        [torch.zeros(2000), torch.arange(2000) == 1000],  # in the middle, where repr has dots
        None,
    ]
    copied = {name: values.clone() for name, values in rows.items()}
    assert fingerprint(rows) == fingerprint(copied)
    assert len({fingerprint(data) for data in [rows, *others]}) == 1 + len(others)


def test_dropout_depends_on_its_seed_alone_and_leaves_the_callers_numbers() -> None:
    results = []
    for caller_seed, dropout_seed in ((1, 0), (2, 0), (1, 5)):
        model = make_net()
        torch.manual_seed(caller_seed)
        expected = torch.rand(3)
        torch.manual_seed(caller_seed)
        fit(
            model,
            batches,
            loss_fn,
            adamw(model),
            dataclasses.replace(QUIET, dropout_seed=dropout_seed),
        )
        assert torch.equal(torch.rand(3), expected)
        results.append(weights_of(model))
    assert same(results[0], results[1])
    assert not same(results[0], results[2])


def test_dropout_differs_from_step_to_step() -> None:
    model = make_net(lambda: nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 1)))
    masks: list[Tensor] = []

    def noting(model: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, dict]:
        dropped = model[0](torch.ones(8, 4))
        masks.append(dropped)
        return model[1](dropped).mean(), {}

    fit(model, batches, noting, adamw(model), dataclasses.replace(QUIET, num_steps=3))
    assert not torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[1], masks[2])


# Validation


def replaying(scores: list[float]) -> Callable[[], dict[str, float]]:
    remaining = iter(scores)
    return lambda: {"score": next(remaining), "loss": 0.0}


def test_best_weights_are_restored() -> None:
    model = linear_net()
    scores = [0.1, 0.9, 0.5]
    snapshots: list[dict[str, Tensor]] = []
    replay = replaying(scores)

    def validate() -> dict[str, float]:
        snapshots.append(weights_of(model))
        return replay()

    config = dataclasses.replace(QUIET, validate_every=10)
    history = fit(model, batches, loss_fn, adamw(model), config, validate=validate)
    assert history.best_step == 20
    assert [v["figures"]["score"] for v in history.validations] == scores
    assert same(model.state_dict(), snapshots[1])
    assert not same(snapshots[1], snapshots[2])


def test_last_step_is_validated_too() -> None:
    model = linear_net()
    config = dataclasses.replace(QUIET, num_steps=5, validate_every=2)
    history = fit(model, batches, loss_fn, adamw(model), config, validate=replaying([1, 2, 3]))
    assert [v["step"] for v in history.validations] == [2, 4, 5]
    history = fit(
        model,
        batches,
        loss_fn,
        adamw(model),
        dataclasses.replace(QUIET, num_steps=5),
        validate=replaying([1]),
    )
    assert [v["step"] for v in history.validations] == [5]


def test_stops_after_patience_validations_without_a_gain() -> None:
    model = linear_net()
    config = dataclasses.replace(QUIET, validate_every=3, patience=2)
    scores = [math.nan, 0.5, 0.4, 0.6, 0.6, 0.1, 9.0]
    history = fit(model, batches, loss_fn, adamw(model), config, validate=replaying(scores))
    assert history.stopped_early
    assert (history.best_step, history.steps_run) == (12, 18)
    assert history.records[-1]["step"] == 18


# What must not happen


def test_non_finite_loss_stops_before_the_weights_are_touched() -> None:
    model = linear_net()
    before: list[dict[str, Tensor]] = []

    def source(number: int) -> dict[str, Tensor]:
        before.append(weights_of(model))
        batch = batches(number)
        if number == 4:
            batch["x"][0, 0] = math.nan
        return batch

    with pytest.raises(NonFiniteLossError, match=r"step 4 \(loss nan, rate 0.01\)") as caught:
        fit(model, source, loss_fn, adamw(model), QUIET)
    assert caught.value.step == 4
    assert same(model.state_dict(), before[-1])


def test_the_error_of_another_process_arrives_whole() -> None:
    error = NonFiniteLossError(step=4, loss=float("inf"), lr=0.01)
    arrived = pickle.loads(pickle.dumps(error))
    assert (str(arrived), arrived.step, arrived.lr) == (str(error), 4, 0.01)


def test_non_finite_gradient_of_a_finite_loss_stops_too() -> None:
    model = linear_net()
    before = weights_of(model)

    def root_of_zero(model: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, dict]:
        return (0.0 * model(batch["x"])).sum().sqrt(), {}

    with pytest.raises(NonFiniteLossError, match=r"loss 0.0"):
        fit(model, batches, root_of_zero, adamw(model), QUIET)
    assert same(model.state_dict(), before)


def test_run_that_breaks_off_ends_at_the_best_weights() -> None:
    model = linear_net()
    at_best: list[dict[str, Tensor]] = []

    def validate() -> dict[str, float]:
        at_best.append(weights_of(model))
        return {"score": 1.0}

    config = dataclasses.replace(QUIET, validate_every=5)
    with pytest.raises(KilledError):
        fit(model, killed_at(8), loss_fn, adamw(model), config, validate=validate)
    assert same(model.state_dict(), at_best[0])


def test_parameters_the_optimizer_does_not_hold_are_named() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3))
    optimizer = adamw(model)
    model[1] = nn.Linear(4, 3)
    with pytest.raises(ValueError, match=r"lacks 2 parameters .* the first is '1.weight'"):
        fit(model, batches, loss_fn, optimizer, QUIET)


@pytest.mark.parametrize("training", [True, False])
def test_mode_is_left_as_it_was(training: bool) -> None:
    model = make_net().train(training)
    modes: list[bool] = []

    def noting(model: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, dict]:
        modes.append(model.training)
        return loss_fn(model, batch)

    config = dataclasses.replace(QUIET, num_steps=4, validate_every=2)

    def validate() -> dict[str, float]:
        model.eval()
        return {"score": 0.0}

    fit(model, batches, noting, adamw(model), config, validate=validate)
    assert modes == [True] * 4
    assert all(module.training is training for module in model.modules())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_steps": 0}, "num_steps must be at least 1, got 0"),
        ({"accumulate": 0}, "accumulate must be at least 1"),
        ({"clip_norm": 0.0}, "clip_norm must be positive or None, got 0.0"),
        ({"patience": 0}, "patience must be positive or None"),
    ],
)
def test_config_refuses_numbers_out_of_range(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(QUIET, **options)


def test_saving_needs_a_path() -> None:
    model = linear_net()
    with pytest.raises(ValueError, match="save_every needs a resume_path"):
        fit(model, batches, loss_fn, adamw(model), dataclasses.replace(QUIET, save_every=1))


def test_progress_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    model = linear_net()
    config = dataclasses.replace(QUIET, num_steps=3, progress=True)
    fit(model, batches, loss_fn, adamw(model), config, description="demo")
    out, err = capsys.readouterr()
    assert out == ""
    assert "demo" in err
    assert "loss=" in err
    assert "accuracy=" in err
    fit(model, batches, loss_fn, adamw(model), QUIET)
    assert capsys.readouterr().err == ""


def test_denormal_numbers_are_rounded_to_zero() -> None:
    if not torch.set_flush_denormal(False):
        pytest.skip("this CPU cannot round them")
    model = linear_net()
    fit(model, batches, loss_fn, adamw(model), dataclasses.replace(QUIET, num_steps=1))
    assert (torch.tensor([1e-30]) * 1e-10).item() == 0.0


# Freezing


class Stage(nn.Sequential):
    def reset_parameters(self) -> None:
        self[0].reset_parameters()
        self[1].reset_parameters()


class StagedNet(Model):
    input_names = ("x",)

    def __init__(self) -> None:
        stages = {
            f"stage{k}": Stage(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.1))
            for k in range(3)
        }
        super().__init__(None, Staged(stages), "linear")

    def make_head(self, name: str, num_classes: int | None) -> nn.Module:
        return nn.Linear(4, 3)

    def prepare(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return x


def test_frozen_stages_hold_still_with_their_batchnorm() -> None:
    model = make_net(StagedNet)
    model.trunk.num_frozen = 2
    before = weights_of(model)
    fit(model, batches, loss_fn, adamw(model), QUIET)
    moved = {name for name, t in model.state_dict().items() if not torch.equal(t, before[name])}
    assert not any(
        name.startswith(("trunk.stages.stage0", "trunk.stages.stage1")) for name in moved
    )
    assert "trunk.stages.stage2.1.running_mean" in moved
    assert "head.weight" in moved


def test_gradual_unfreezing_goes_from_the_top_down() -> None:
    model = make_net(StagedNet)
    still: list[list[bool]] = []
    before = weights_of(model)

    def source(number: int) -> dict[str, Tensor]:
        names = [f"trunk.stages.stage{k}.0.weight" for k in range(3)]
        still.append([torch.equal(model.state_dict()[name], before[name]) for name in names])
        return batches(number)

    config = dataclasses.replace(QUIET, num_steps=9)
    num_frozen_at = lambda step: 3 - min(3, step // 2)  # noqa: E731
    fit(model, source, loss_fn, adamw(model), config, num_frozen_at=num_frozen_at)
    # A stage that thaws for step s has moved when the batch of step s + 1 is asked for.
    assert still[2] == [True, True, True]
    assert still[3] == [True, True, False]
    assert still[5] == [True, False, False]
    assert still[7] == [False, False, False]


def test_stage_that_thaws_must_be_in_the_optimizer() -> None:
    model = make_net(StagedNet)
    model.trunk.num_frozen = 3
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])
    with pytest.raises(ValueError, match=r"lacks 4 parameters .*'trunk.stages.stage2.0.weight'"):
        fit(model, batches, loss_fn, optimizer, QUIET, num_frozen_at=lambda step: 3 - (step > 5))


# Evaluation


def test_evaluate_averages_over_rows() -> None:
    model = linear_net()
    large, small = batches(0, num_rows=6), batches(1, num_rows=2)
    joined = {name: torch.cat([large[name], small[name]]) for name in large}
    parts = evaluate(model, [large, small], loss_fn)
    whole = evaluate(model, [joined], loss_fn)
    assert list(parts) == ["accuracy", "loss"]
    assert parts == pytest.approx(whole)


def test_evaluate_averages_over_labels_where_rows_differ_in_their_number() -> None:
    model = linear_net()
    few, many = batches(0), batches(1)
    few["labels"][2:] = -100

    def of_labelled(model: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, dict]:
        counts = batch["labels"] != -100
        loss, figures = loss_fn(model, {name: rows[counts] for name, rows in batch.items()})
        return loss, {**figures, "rows": 2.0}

    def num_labels(batch: dict[str, Tensor]) -> dict[str, int]:
        return dict.fromkeys(("accuracy", "loss"), int((batch["labels"] != -100).sum()))

    joined = {name: torch.cat([few[name], many[name]]) for name in few}
    parts = evaluate(model, [few, many], of_labelled, num_labels=num_labels)
    assert parts == pytest.approx(evaluate(model, [joined], of_labelled))
    unlabelled = {**few, "labels": torch.full_like(few["labels"], -100)}
    nothing = evaluate(model, [unlabelled], lambda *_: (torch.zeros(()), {"accuracy": 0.0}),
                       num_labels=num_labels)  # fmt: skip
    assert nothing["accuracy"] == 0


@pytest.mark.parametrize("training", [True, False])
def test_evaluate_changes_nothing(training: bool) -> None:
    model = make_net().train(training)
    before = weights_of(model)
    first = evaluate(model, [batches(0)], loss_fn)
    second = evaluate(model, [batches(0)], loss_fn)
    assert first == second  # no dropout
    assert same(model.state_dict(), before)
    assert all(module.training is training for module in model.modules())


def test_evaluate_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="batches is empty"):
        evaluate(linear_net(), [], loss_fn)
