"""How much work a step does: counted in multiplications and kernels, never timed.

Seconds differ from machine to machine; these counts do not. Each is held against a formula, so that
work that nobody needs (a word predicted where none is asked, a frozen block run again in every
epoch, a position computed that nobody reads) fails a test here before it slows anyone down.

Letters: B batch, T length, S length of what is read, C width, F feed-forward width, V vocabulary,
L blocks, M positions read in a row. A product of (n, k) and (k, m) takes 2 n k m operations; its
backward pass takes twice as much, a product for each of the two factors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F_
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from minift.models.bert import Bert, BertConfig
from minift.models.gpt import GPT, GPTConfig
from minift.models.resnet import ResNet, ResNetConfig
from minift.models.t5 import T5, T5Config
from minift.optim import Adam
from minift.recipes.finetuning import FinetuneConfig, finetune, loss_of, training_batches
from minift.recipes.pretraining import bert_loss, gpt_loss
from minift.transfer import freeze, param_groups

B, T, C, F, V, L = 3, 10, 16, 32, 40, 3
SIZES = {
    "vocab_size": V,
    "hidden_size": C,
    "num_layers": L,
    "num_heads": 2,
    "intermediate_size": F,
    "dropout": 0.1,
}
LINEAR = ("mm", "addmm", "convolution", "convolution_backward")


def multiplications(work: Callable[[], object]) -> int:
    """Operations of the linear layers and convolutions in `work`; attention's scores are left out,
    which fused kernels do not report in every version of torch."""
    with FlopCounterMode(display=False) as counter:
        work()
    counts = counter.get_flop_counts()["Global"]
    return sum(count for op, count in counts.items() if str(op).split(".")[-1] in LINEAR)


def kernels(work: Callable[[], object]) -> Counter[str]:
    """How often each of torch's kernels is called in `work`."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        work()
    return Counter({event.key: event.count for event in profiler.key_averages()})


def ids(length: int = T) -> Tensor:
    return torch.randint(1, V, (B, length), generator=torch.Generator().manual_seed(0))


def bert(head: str, **options: object) -> Bert:
    torch.manual_seed(0)
    num_classes = 2 if head == "classify" else None
    return Bert(BertConfig(**SIZES, max_positions=T, **options), head, num_classes).train()


def masked_batch() -> dict[str, Tensor]:
    labels = torch.full((B, T), -100)
    labels[0, 2], labels[0, 5], labels[1, 4], labels[2, 9] = 1, 2, 3, 4
    return {
        "input_ids": ids(),
        "attention_mask": torch.ones(B, T, dtype=torch.bool),
        "token_type_ids": torch.zeros(B, T, dtype=torch.int64),
        "mlm_labels": labels,
        "next_labels": torch.tensor([0, 1, 0]),
    }


def class_batch() -> dict[str, Tensor]:
    names = ("input_ids", "attention_mask", "token_type_ids")
    batch = masked_batch()
    return {**{name: batch[name] for name in names}, "labels": torch.tensor([0, 1, 1])}


# A block's four C x C products (query, key, value, output) and its two C x F ones, for one token.
BLOCK = 2 * (4 * C * C + 2 * C * F)


def top_block(M: int) -> int:
    """Keys and values of every position, the rest for the M of each row that are read."""
    return B * T * 2 * (2 * C * C) + B * M * 2 * (2 * C * C + 2 * C * F)


def test_bert_s_pretraining_computes_what_is_asked():
    model, batch = bert("pretrain"), masked_batch()
    num_masked, M = 4, 1 + 2  # [CLS] and the most masked words of any row

    found = multiplications(lambda: bert_loss(model, batch)[0].backward())

    lower = (L - 1) * B * T * BLOCK
    pooler_and_nsp = B * 2 * (C * C + C * 2)
    words = num_masked * 2 * (C * C + C * V)
    assert found == 3 * (lower + top_block(M) + pooler_and_nsp + words)


def test_a_classifier_computes_cls_alone_at_the_top():
    model, batch = bert("classify"), class_batch()

    found = multiplications(lambda: loss_of(model, batch)[0].backward())

    head = B * 2 * (C * C + C * 2)
    assert found == 3 * ((L - 1) * B * T * BLOCK + top_block(1) + head)


def test_frozen_blocks_run_once_and_never_backwards():
    model, batch = bert("classify"), class_batch()
    # The embedding and all blocks but the top one.
    config = FinetuneConfig(num_frozen=L, epochs=5, batch_size=B, progress=False, precision="fp32")

    found = multiplications(lambda: finetune(model, batch, config))

    head = B * 2 * (C * C + C * 2)
    # The lowest trained products read what takes no gradient: two thirds of the work is left.
    top = 3 * (top_block(1) + head) - B * T * 2 * (2 * C * C) - B * 2 * C * C
    assert found == (L - 1) * B * T * BLOCK + 5 * top


def test_a_gpt_step_is_three_forward_passes():
    torch.manual_seed(0)
    model = GPT(GPTConfig(**SIZES, max_positions=T), "lm").train()

    found = multiplications(lambda: gpt_loss(model, {"input_ids": ids()})[0].backward())

    assert found == 3 * B * T * (L * BLOCK + 2 * C * V)


def test_generation_runs_every_token_through_the_blocks_once():
    torch.manual_seed(0)
    num_new = 6
    model = GPT(GPTConfig(**SIZES, max_positions=T + num_new), "lm")

    found = multiplications(lambda: model.generate(ids(), max_new_tokens=num_new, temperature=0.0))

    num_tokens = T + num_new - 1  # the last is only written
    assert found == B * (num_tokens * L * BLOCK + num_new * 2 * C * V)


@pytest.mark.parametrize("is_gated", [False, True])
def test_a_t5_step_is_three_forward_passes(is_gated):
    torch.manual_seed(0)
    S, labels = 7, ids()
    model = T5(T5Config(**SIZES, is_gated=is_gated), "lm").train()

    def step() -> None:
        logits = model(ids(S), torch.ones(B, S, dtype=torch.bool), labels)
        F_.cross_entropy(logits.flatten(0, 1), labels.flatten()).backward()

    encoder = BLOCK + is_gated * 2 * C * F
    cross = T * 2 * (2 * C * C) + S * 2 * (2 * C * C)
    blocks = S * encoder + T * encoder + cross
    assert multiplications(step) == 3 * B * (L * blocks + T * 2 * C * V)


def test_a_frozen_part_of_a_resnet_costs_nothing_after_the_first_epoch():
    torch.manual_seed(0)
    model = ResNet(ResNetConfig((1, 1), width=8), "classify", 2)
    data = {"images": torch.randn(4, 3, 8, 8), "labels": torch.tensor([0, 1, 0, 1])}
    freeze(model, 2)  # stem and layer1
    config = FinetuneConfig(batch_size=4, num_frozen=2, progress=False)
    with torch.no_grad():
        flow = model.trunk(model.prepare(data["images"]), stop=2)
    top = multiplications(
        lambda: F_.cross_entropy(model.forward_from(flow, start=2), data["labels"]).backward()
    )

    batches, _ = training_batches(model, data, config)
    found = multiplications(lambda: loss_of(model, batches(0))[0].backward())

    assert found == top > 0


@pytest.mark.parametrize("attention_dropout", [0.0, 0.1])
def test_no_number_of_dropout_is_drawn_by_itself(attention_dropout):
    model, batch = bert("pretrain", attention_dropout=attention_dropout), masked_batch()

    called = kernels(lambda: bert_loss(model, batch)[0].backward())

    assert called["aten::bernoulli_"] == 0
    # After the embedding, in two branches a block, and on the attention's weights.
    assert called["aten::random_"] == 1 + 2 * L + L * (attention_dropout > 0)


def test_adam_is_one_kernel_a_group():
    model = bert("pretrain")
    bert_loss(model, masked_batch())[0].backward()
    groups = param_groups(model, lr=1e-3)
    optimizer = Adam(groups)

    called = kernels(optimizer.step)

    assert called["aten::_fused_adamw_"] == len(groups)
    assert called["aten::sqrt"] == called["aten::addcdiv_"] == 0
