"""GPT looks back only, does not see padding on either side, and continues texts."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from minift.models.gpt import GPT, GPTConfig
from minift.models.layers import KeyValueCache

B, T, V, C = 3, 8, 40, 16
TINY = GPTConfig(
    vocab_size=V,
    hidden_size=C,
    num_layers=2,
    num_heads=2,
    intermediate_size=32,
    max_positions=16,
    dropout=0.0,
)


def make(head: str | None = "lm", num_classes: int | None = None, **changes: object) -> GPT:
    """A model whose weights are large enough for its choices to depend on the whole text."""
    torch.manual_seed(0)
    return GPT(dataclasses.replace(TINY, init_std=0.3, **changes), head, num_classes)


def ids_of(rows: int = B, length: int = T, seed: int = 1) -> Tensor:
    return torch.randint(1, V, (rows, length), generator=torch.Generator().manual_seed(seed))


def left_padded(prompts: list[Tensor]) -> tuple[Tensor, Tensor]:
    width = max(map(len, prompts))
    ids = torch.stack([F.pad(prompt, (width - len(prompt), 0), value=5) for prompt in prompts])
    lengths = torch.tensor([[len(prompt)] for prompt in prompts])
    return ids, torch.arange(width) >= width - lengths


PROMPTS = [ids_of(1, length, seed=length)[0] for length in (6, 2, 4)]


def test_a_later_token_cannot_change_an_earlier_output():
    model, ids = make(), ids_of()
    logits = model(ids)

    for position in range(T):
        changed = ids.clone()
        changed[:, position] = (changed[:, position] + 1) % V
        is_changed = (model(changed) != logits).any(-1)
        assert not is_changed[:, :position].any()
        assert is_changed[:, position:].all()


def test_a_span_points_at_what_stands_behind_the_question_it_has_read():
    model, ids = make("span"), ids_of()
    changed = ids.clone()
    changed[:, 2] = (changed[:, 2] + 1) % V

    for logits, others in zip(model(ids), model(changed)):
        assert logits.shape == (B, T)
        assert (logits != others).tolist() == [[False] * 2 + [True] * (T - 2)] * B


def test_right_padding_cannot_change_real_positions():
    model, ids = make(), ids_of()
    mask = torch.arange(T) < torch.tensor([[8], [5], [2]])

    logits = model(ids, mask)

    torch.testing.assert_close(logits[mask], model(ids)[mask])


def test_left_padding_gives_the_next_token_of_no_padding():
    model = make()
    ids, mask = left_padded(PROMPTS)

    logits = model(ids, mask)

    assert logits.isfinite().all()
    for row, prompt in enumerate(PROMPTS):
        torch.testing.assert_close(logits[row, -1], model(prompt[None])[0, -1])


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_classifier_reads_the_last_real_token(side):
    model = make("classify", 3)
    ids, mask = left_padded(PROMPTS)
    if side == "right":
        ids = torch.stack([F.pad(p, (0, 6 - len(p)), value=5) for p in PROMPTS])
        mask = mask.flip(1)

    logits = model(ids, mask)

    for row, prompt in enumerate(PROMPTS):
        torch.testing.assert_close(logits[row], model(prompt[None])[0])


def test_an_int_mask_does_as_well():
    model = make("classify", 3)
    ids, mask = left_padded(PROMPTS)

    assert torch.equal(model(ids, mask.long()), model(ids, mask))


def test_positions_matter():
    model, ids = make(), torch.full((1, 4), 7)

    logits = model(ids)[0]

    assert not torch.allclose(logits[0], logits[1])


def test_the_output_matrix_is_the_token_embedding():
    model = make()

    assert model.head.decoder.weight is model.trunk.stages["embedding"].tokens.weight
    assert not list(model.head_parameters())


def test_what_writes_to_the_residual_path_starts_smaller():
    torch.manual_seed(0)
    model = GPT(dataclasses.replace(TINY, num_layers=8, hidden_size=64, intermediate_size=64), None)
    block = model.trunk.stages["block3"]

    for smaller, usual in (
        (block.attention.sublayer.output, block.attention.sublayer.query),
        (block.feed_forward.sublayer.contract, block.feed_forward.sublayer.expand),
    ):
        assert usual.weight.std().item() == pytest.approx(0.02, rel=0.05)
        assert smaller.weight.std().item() == pytest.approx(0.02 / 16**0.5, rel=0.05)


def test_only_the_top_block_has_the_final_norm():
    model, ids = make(None), ids_of()

    flow = model(ids)

    variance = flow.hidden.var(-1, correction=0)
    torch.testing.assert_close(variance, torch.ones(B, T), atol=1e-3, rtol=0)
    below = model.trunk(model.prepare(ids), stop=2).hidden.var(-1, correction=0)
    assert not torch.allclose(below, torch.ones(B, T), atol=0.1)


def test_a_text_is_learnt_by_heart():
    torch.manual_seed(0)
    model, ids = GPT(TINY), ids_of()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

    for _ in range(100):
        loss = F.cross_entropy(model(ids)[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    assert loss < 0.1
    assert torch.equal(model.generate(ids[:, :1], max_new_tokens=T - 1, temperature=0), ids)


def greedy(model: GPT, *args: Tensor, **options: object) -> Tensor:
    return model.generate(*args, max_new_tokens=8, temperature=0, **options)


def test_greedy_takes_the_likeliest_token_each_time():
    model, ids = make(), ids_of()

    continued = greedy(model, ids)

    assert torch.equal(continued[:, :T], ids)
    for t in range(T, T + 8):
        assert torch.equal(continued[:, t], model(continued[:, :t])[:, -1].argmax(-1))


def test_the_cache_changes_nothing():
    model, ids = make(), ids_of()

    assert torch.equal(greedy(model, ids), greedy(model, ids, use_cache=False))


def test_the_cache_changes_nothing_about_sampling():
    model, ids = make(), ids_of()

    first, second = (
        model.generate(
            ids,
            max_new_tokens=8,
            top_k=10,
            top_p=0.9,
            generator=torch.Generator().manual_seed(3),
            use_cache=use_cache,
        )
        for use_cache in (True, False)
    )

    assert torch.equal(first, second)


@pytest.mark.parametrize("use_cache", [True, False])
def test_a_left_padded_batch_continues_as_each_prompt_alone(use_cache):
    model = make()

    together = greedy(model, *left_padded(PROMPTS), use_cache=use_cache)

    for row, prompt in enumerate(PROMPTS):
        assert torch.equal(together[row, 6:], greedy(model, prompt[None])[0, len(prompt) :])


def test_the_cache_takes_a_text_in_pieces():
    model, ids = make(None), ids_of()
    cache = KeyValueCache(T)

    hidden = []
    for piece in ids.split([3, 1, 4], dim=1):
        hidden.append(model(piece, None, cache).hidden)
        cache.length += piece.shape[1]

    torch.testing.assert_close(torch.cat(hidden, dim=1), model(ids).hidden)


def test_a_row_ends_at_its_eos_and_all_ends_with_the_last_row():
    model, ids = make(), ids_of()
    free = greedy(model, ids)
    eos_id = int(free[0, T + 2])

    stopped = greedy(model, ids, eos_id=eos_id)

    for row in range(B):
        new = free[row, T:]
        ends = (new == eos_id).nonzero()
        stop = int(ends[0]) if len(ends) else len(new)
        assert torch.equal(stopped[row, T : T + stop], new[:stop])
        assert (stopped[row, T + stop :] == eos_id).all()
    assert greedy(model, ids[:1], eos_id=eos_id).shape[1] <= T + 3


def test_nothing_new_is_the_prompt():
    model, ids = make(), ids_of()

    assert torch.equal(model.generate(ids, max_new_tokens=0), ids)


@pytest.mark.parametrize("is_training", [True, False])
def test_generating_drops_nothing_and_leaves_the_mode(is_training):
    model, ids = make(dropout=0.5).train(is_training), ids_of()

    assert torch.equal(greedy(model, ids), greedy(model, ids))
    assert model.training == is_training


def test_a_failure_on_the_way_leaves_the_mode():
    model = make().train()

    with pytest.raises(IndexError):
        model.generate(torch.full((1, 2), V), max_new_tokens=1)  # no such token

    assert model.training


def test_every_position_can_be_used():
    # The 9th new token is the 17th of the text, and only written: nothing has to read it.
    assert make().generate(ids_of(), max_new_tokens=9).shape == (B, 17)


def test_more_than_there_are_positions_is_refused():
    with pytest.raises(ValueError, match=r"at most 16 positions.*got 8 tokens and 10 new ones"):
        make().generate(ids_of(), max_new_tokens=10)


def test_prompts_padded_on_the_right_are_refused():
    mask = torch.arange(T) < torch.tensor([[8], [5], [8]])

    with pytest.raises(ValueError, match=r"attention_mask must end in real tokens: pad .* left"):
        make().generate(ids_of(), mask, max_new_tokens=1)


def test_a_classifier_does_not_generate():
    with pytest.raises(ValueError, match="head must be 'lm' to generate, got 'classify'"):
        make("classify", 2).generate(ids_of(), max_new_tokens=1)


def test_nothing_cannot_be_gone_on_from():
    with pytest.raises(ValueError, match="input_ids must hold at least one token"):
        make().generate(torch.zeros(1, 0, dtype=torch.int64), max_new_tokens=2)
