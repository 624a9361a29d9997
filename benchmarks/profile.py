"""Where the time of a step goes: its kernels by kind, and the machine's peak that it reaches.

Each side of minift that the workloads define runs three times over, or its first steps where it
has many: with its matrix products counted, then alone by the clock, then under torch's profiler,
whose own cost the seconds so do not hold. A kernel belongs to the part of the model that calls it,
and its backward pass to the part that its forward pass did; outside those, its name decides.

The peak is what this machine reaches in the same run, in the best of some large products of fp32.
"""

from __future__ import annotations

import gc
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from statistics import median
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.profiler import ProfilerActivity, record_function
from torch.profiler import profile as torch_profile
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from benchmarks.report import Columns, Line, Part
from benchmarks.runner import Settings, Work, begin, load, prepared, repeat

# What is called in such a module is of this kind, whatever it is.
PARTS = {
    "Linear": "products",
    "Attention": "attention",
    "LayerNorm": "norm",
    "RMSNorm": "norm",
    "Dropout": "dropout",
    "Embedding": "index",
}
# Elsewhere: names of torch's kernels, without "aten::", "_backward" and underscores at the ends.
KERNELS = {
    "products": "mm addmm bmm baddbmm addmv dot convolution mkldnn_convolution",
    "attention": "scaled_dot_product_flash_attention_for_cpu softmax softmax_backward_data",
    "norm": "native_layer_norm native_batch_norm batch_norm_impl_index",
    "activation": "gelu threshold clamp_min relu silu tanh sigmoid softplus",
    "dropout": "random bernoulli native_dropout",
    "loss": "log_softmax log_softmax_backward_data nll_loss nll_loss_forward argmax",
    "index": "index_select index index_add index_put index_put_impl gather scatter scatter_add "
    "embedding embedding_dense take_along_dim multinomial sort argsort nonzero masked_select",
    "sums": "add sub mul div sum mean abs linalg_vector_norm stack max_pool2d_with_indices",
    "copies": "copy to to_copy clone contiguous cat fill zero where masked_fill",
    "bookkeeping": "view as_strided t transpose permute expand reshape reshape_alias unsafe_view "
    "slice select narrow unsqueeze squeeze empty empty_strided empty_like resize detach alias "
    "resolve_conj linear matmul layer_norm conv2d mT split flatten unbind view_as item "
    "local_scalar_dense is_nonzero",
}
KIND_OF = {kernel: kind for kind, kernels in KERNELS.items() for kernel in kernels.split()}
KINDS = (*KERNELS, "optimizer", "other", "outside")
NOTE = (
    "s: median, a step; a step is one of training, in generation a new token for each row, in "
    "tokens and loading all of it. GFLOP: of its matrix products; peak: the share that this is, by "
    "the second, of the machine's peak. The other columns are shares of the time under the "
    "profiler. products: linear layers with their biases, convolutions; attention: what "
    "stands between those, its dropout too; sums: residuals, gradients added up, and the like; "
    "bookkeeping: what computes nothing, the autograd engine too; outside: Python, and files."
)
COLUMNS: Columns = {
    "work": str,
    "s": "{:.4f}".format,
    "GFLOP": "{:.3g}".format,
    "GFLOP/s": "{:.1f}".format,
    "peak": "{:.0%}".format,
    **dict.fromkeys(KINDS, "{:.0%}".format),
}
# Another peak; other kernels; not what one uses; hardly more than the frozen part's one pass.
LEFT_OUT = ("bf16", "compiled", "written out", "head")
MAX_STEPS = 80  # of a run: word2vec takes a thousand, all alike


class Profile(NamedTuple):
    """Of one side; seconds and flops are those of a step."""

    seconds: list[float]
    flops: float
    shares: dict[str, float]  # by kind, of the time under the profiler
    other: dict[str, float]  # by kernel


class EnoughStepsError(Exception):
    """Ends a run before its end."""


def part(name: str, settings: Settings) -> Part:
    """Profile the sides of minift in a workload."""
    begin(settings)
    workload, peak = load(name), peak_flops(settings)
    sides = [side for side in workload.sides if side.startswith("minift")]
    sides = [side for side in sides if not any(word in side for word in LEFT_OUT)]
    profiles = {}
    with prepared(workload.prepare, settings) as settings:
        for side in sides:
            torch.manual_seed(0)
            work = workload.sides[side].build(settings)
            profiles[name + side.removeprefix("minift")] = profiled(work, settings)
    others = (rest(label, found) for label, found in profiles.items())
    return Part(
        rows=[row(label, found, peak) for label, found in profiles.items()],
        notes=[f"The machine's peak: {peak / 1e9:.0f} GFLOP/s.", *filter(None, others)],
        measured={
            "peak GFLOP/s": peak / 1e9,
            "sides": {label: found._asdict() for label, found in profiles.items()},
        },
    )


def row(label: str, found: Profile, peak: float) -> Line:
    seconds = median(found.seconds)
    rate = found.flops / seconds
    products = {"GFLOP": found.flops / 1e9, "GFLOP/s": rate / 1e9, "peak": rate / peak}
    return {"work": label, "s": seconds, **(products if found.flops else {}), **found.shares}


def rest(label: str, found: Profile) -> str:
    """Which kernels are of no kind, where they take any time."""
    named = [f"{name} {share:.1%}" for name, share in found.other.items() if share >= 0.005]
    return f"{label}, other: {', '.join(named)}" if named else ""


def profiled(work: Work, settings: Settings) -> Profile:
    run, ran = partial(first_steps, work), []
    flops = matrix_flops(lambda: ran.append(run()))  # first, for it warms up as well
    num_steps = ran[0]
    seconds = [each / num_steps for each in repeat(run, settings, at_most=2.0)]
    shares, other = kernel_shares(run)
    return Profile(seconds, flops / num_steps, shares, other)


def first_steps(work: Work) -> int:
    """Run the work, break it off after MAX_STEPS steps of its optimizer; return its steps."""
    num_steps = 0

    def count(*_: Any) -> None:
        nonlocal num_steps
        num_steps += 1
        if num_steps == MAX_STEPS < work.num_steps:
            raise EnoughStepsError

    handle = register_optimizer_step_post_hook(count)
    try:
        with suppress(EnoughStepsError):
            work.run()
    finally:
        handle.remove()
    return num_steps or work.num_steps  # what trains nothing, such as generation, runs to its end


@cache
def peak_flops(settings: Settings) -> float:
    """Operations a second of the best of some products of square matrices."""
    largest, best = settings.size(4096, 512), 0.0
    for n in (largest, largest // 2, largest // 4):
        a, b = torch.randn(2, n, n)
        quickest = min(repeat(partial(torch.mm, a, b), settings))
        best = max(best, 2 * n**3 / quickest)
    return best


def matrix_flops(run: Callable[[], Any]) -> int:
    """Operations of the matrix products of a run.

    Attention counts in full, also the half that a causal mask hides.
    """

    def attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
        return sdpa_flop_count(query, key, value)

    def attention_backward(grad: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
        return sdpa_backward_flop_count(grad, query, key, value)

    aten = torch.ops.aten
    mapping = {  # torch does not count it yet
        aten._scaled_dot_product_flash_attention_for_cpu: attention,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: attention_backward,
    }
    with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        run()
    return counter.get_total_flops()


def kernel_shares(run: Callable[[], Any]) -> tuple[dict[str, float], dict[str, float]]:
    """The shares of a run's time by kind, and of the kernels of kind "other", largest first."""
    with torch_profile(activities=[ProfilerActivity.CPU]) as profiler, named_parts():
        started = time.perf_counter()
        run()
        seconds = time.perf_counter() - started
    gc.disable()  # the events are many, and no garbage: looking for some would double the time
    events = profiler.events()
    gc.enable()
    times: dict[str, float] = dict.fromkeys(KINDS, 0.0)
    other: Counter[str] = Counter()
    for event, kind in kinds_of(events):
        share = event.self_cpu_time_total / 1e6 / seconds
        times[kind] += share
        if kind == "other":
            other[event.name] += share
    times["outside"] = max(0.0, 1 - sum(times.values()))
    return times, dict(other.most_common())


def kinds_of(events: Iterable[Any]) -> Iterator[tuple[Any, str]]:
    """Give each event of a profile its kind."""
    parts: dict[int, str | None] = {}  # event -> the kind of the part that it was called in
    forward: defaultdict[int, str | None] = defaultdict(lambda: None)  # autograd's number -> alike
    order = sorted(events, key=lambda e: (e.time_range.start, -e.time_range.end))  # callers first
    for event in order:
        caller = event.cpu_parent
        kind = PARTS.get(event.name.removeprefix("part: "))
        if event.name.startswith("Optimizer."):
            kind = "optimizer"
        elif event.name.startswith("autograd::engine"):
            kind = forward[event.sequence_nr]
        elif kind is None and caller is not None:
            kind = parts[caller.id]
        parts[event.id] = kind
        if event.sequence_nr >= 0:
            forward[event.sequence_nr] = kind
        yield event, kind or kind_of_kernel(event.name)


def kind_of_kernel(name: str) -> str:
    """By its name alone."""
    if not name.startswith("aten::"):
        return "bookkeeping" if "Backward" in name or "AccumulateGrad" in name else "other"
    plain = name.removeprefix("aten::").strip("_")
    return KIND_OF.get(plain) or KIND_OF.get(plain.removesuffix("_backward"), "other")


@contextmanager
def named_parts() -> Iterator[None]:
    """Let the profiler see which part of a model is running."""
    running: list[record_function] = []

    def enter(module: nn.Module, _: Any) -> None:
        if type(module).__name__ in PARTS:
            running.append(record_function(f"part: {type(module).__name__}"))
            running[-1].__enter__()

    def leave(module: nn.Module, _: Any, __: Tensor) -> None:
        if type(module).__name__ in PARTS:
            running.pop().__exit__(None, None, None)

    handles = [register_module_forward_pre_hook(enter), register_module_forward_hook(leave)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
