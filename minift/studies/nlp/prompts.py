"""A pretrained model asked in words, with no weight changed: zero-shot and few-shot prompts.

A prompt is a text with a gap, and the class is what fills it best: "the soup was awful , so it was
good" or "bad"? GPT is asked how likely the text is with either, T5, by a sentinel, how likely
either is in the gap. Examples whose gaps are filled may stand before (Brown et al. 2020, section
2). The control changes weights: it is trained to fill the gaps of the same examples.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from random import Random
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from minift.checkpoint import load, load_tokenizer
from minift.data.batches import num_examples, take
from minift.data.world import world_documents
from minift.data.world_tasks import Example, world_task
from minift.objectives.causal import shift_right
from minift.objectives.scores import majority_accuracy
from minift.recipes.finetuning import FinetuneConfig, finetune, run_model
from minift.recipes.text_commands import FAMILIES
from minift.stages import Model
from minift.studies.nlp.labelled import class_of, whole_epochs
from minift.studies.nlp.multi_task import T5_BUDGET
from minift.studies.nlp.self_supervised import BUDGET, NEXT, QUICK_BUDGET, SPANS, Budget, reader
from minift.studies.results import Results, Row, minus
from minift.studies.study import Cell, Figure, Ingredient, Study
from minift.studies.verdict import Finding, above
from minift.tokenizers import Tokenizer

GPT, T5 = "GPT", "T5"
GPT_BUDGET = replace(BUDGET, num_steps=4000)
# task -> what fills the gap, for class 0 and for class 1. The documents say it in these words.
FILLINGS = {"sentiment": ("bad", "good"), "entailment": ("but not", "that is")}


class Prompt(NamedTuple):
    """A text around a gap."""

    before: str
    after: str

    def filled(self, words: str) -> str:
        return f"{self.before} {words} {self.after}"


@dataclass(frozen=True)
class Settings:
    gpt: Budget = GPT_BUDGET
    t5: Budget = T5_BUDGET
    models: tuple[str, ...] = (GPT, T5)
    tasks: tuple[str, ...] = tuple(FILLINGS)
    num_shown: tuple[int, ...] = (0, 1, 2, 4, 8)  # examples in the prompt
    sizes: tuple[int, ...] = (8, 128)  # examples to train on; 8 are those that prompts draw from
    steps: int = 160  # of training
    num_test: int = 500  # at most, of those that were not read in pretraining


# T5 takes too long to learn spans.
QUICK = Settings(replace(QUICK_BUDGET, num_steps=2000), models=(GPT,), num_test=250)


def cells(settings: Settings) -> list[Cell]:
    return [{"model": model, "task": task} for model in settings.models for task in settings.tasks]


def needs(settings: Settings, cell: Cell) -> Ingredient:
    budget, asked = (settings.gpt, NEXT) if cell["model"] == GPT else (settings.t5, SPANS)
    return reader(budget, asked, cell["seed"])


def run(settings: Settings, cell: Cell, trunk: Path) -> list[Row]:
    seed, task = cell["seed"], cell["task"]
    model, tokenizer = load(trunk), load_tokenizer(trunk)
    drawn = world_task(task, 2 * settings.num_test, seed=seed + 1000, split="test")
    num_documents = needs(settings, cell).arguments["num_documents"]
    test = unread(task, drawn, world_documents(num_documents, seed=seed))[: settings.num_test]

    rows, rng = [], Random(seed)
    pool = world_task(task, max(settings.num_shown), seed=seed)
    for number in settings.num_shown:  # which ones, and in what order, is drawn for each question
        prompts = [prompt(task, each, rng.sample(pool, number)) for each in test]
        scores = judged(model, tokenizer, task, test, prompts)
        rows.append({"way": f"prompt with {number}", **scores})
    for size in settings.sizes:
        labelled = world_task(task, size, seed=seed)
        words = [FILLINGS[task][class_of(example)] for example in labelled]
        train = filled_rows(model, tokenizer, [gap(each) for each in labelled], words)
        trained = deepcopy(model)
        finetune(trained, train, config(settings, model.family, size, seed))
        scores = judged(trained, tokenizer, task, test, [gap(each) for each in test])
        rows.append({"way": f"trained on {size}", **scores})
    return rows


def unread(task: str, examples: list[Example], documents: list[list[str]]) -> list[Example]:
    """The examples that no document tells with either filling, whether or not it goes on."""
    told = [
        {gap(each).filled(words).removesuffix(" .") for words in FILLINGS[task]}
        for each in examples
    ]
    sought = set(chain.from_iterable(told))
    lengths = {len(text.split()) for text in sought}
    read = set()
    for sentence in chain.from_iterable(documents):
        words = sentence.split()
        read |= sought.intersection(" ".join(words[:length]) for length in lengths)
    return [each for each, texts in zip(examples, told) if read.isdisjoint(texts)]


def gap(example: Example) -> Prompt:
    """How documents go on from such a sentence: with a verdict, or with the same in other words."""
    sentence = example.text[:-2]  # without its last mark
    if example.pair is None:
        return Prompt(f"{sentence} , so it was", ".")
    return Prompt(f"{sentence} ,", f", {example.pair}")


def prompt(task: str, asked: Example, shown: list[Example]) -> Prompt:
    """The gap of the asked example, and before it the shown ones with theirs filled."""
    told = [gap(each).filled(FILLINGS[task][class_of(each)]) for each in shown]
    before, after = gap(asked)
    return Prompt(" ".join([*told, before]), after)


def config(settings: Settings, family: str, size: int, seed: int) -> FinetuneConfig:
    """The same number of steps, however few the examples."""
    common = FinetuneConfig(precision="fp32", seed=seed, progress=False)
    epochs = whole_epochs(settings.steps, size, common.batch_size)
    return replace(common, epochs=epochs, **FAMILIES[family].finetuning)


def judged(
    model: Model, tokenizer: Tokenizer, task: str, test: list[Example], prompts: list[Prompt]
) -> Row:
    """The accuracy of the likelier filling, and that of always naming the commonest class."""
    labels = torch.tensor([example.label for example in test])
    likelihoods = [
        log_likelihoods(model, filled_rows(model, tokenizer, prompts, [words] * len(prompts)))
        for words in FILLINGS[task]
    ]
    is_right = torch.stack(likelihoods).argmax(dim=0) == labels
    return {"accuracy": is_right.float().mean().item(), "majority": majority_accuracy(labels)}


def filled_rows(
    model: Model, tokenizer: Tokenizer, prompts: list[Prompt], fillings: list[str]
) -> dict[str, Tensor]:
    """A row for each prompt with its gap filled; labels are -100 but for what the filling decides.

    That is for GPT the filling and all that stands after it; T5 reads this, and writes the filling.
    """

    def ids(text: str) -> list[int]:
        return tokenizer.encode(text, special_tokens=False)

    is_t5, eos_id = model.family == "t5", tokenizer.eos_id
    assert eos_id is not None
    inputs, labels = [], []
    for (before, after), words in zip(prompts, fillings):
        if is_t5:  # as in its pretraining, the last span that was cut is the text's end
            first, last = tokenizer.sentinel_ids[:2]
            inputs.append([*ids(before), first, *ids(after), last, eos_id])
            labels.append([first, *ids(words)])
        else:
            decided = ids(words) + ids(after)
            inputs.append([eos_id, *ids(before), *decided])
            labels.append([-100] * len(ids(before)) + [*decided, -100])  # each is the next token
    lengths = torch.tensor([[len(row)] for row in inputs])
    input_ids = pad_sequence(list(map(torch.tensor, inputs)), True, tokenizer.pad_id)
    targets = pad_sequence(list(map(torch.tensor, labels)), True, -100)
    rows = {
        "input_ids": input_ids,
        "attention_mask": torch.arange(input_ids.shape[1]) < lengths,
        "labels": targets,
    }
    if is_t5:
        rows["decoder_input_ids"] = shift_right(targets, model.config.start_id)
    return rows


@torch.no_grad()
def log_likelihoods(model: Model, rows: dict[str, Tensor]) -> Tensor:
    """The summed log-probability of each row's labels, (N,)."""
    model.eval()
    found = []
    for begin in range(0, num_examples(rows), 128):
        batch = take(rows, slice(begin, begin + 128))
        logits = run_model(model, batch)  # (B, T, V)
        losses = F.cross_entropy(logits.transpose(1, 2), batch["labels"], reduction="none")
        found.append(-losses.sum(dim=1))  # where a label is -100, the loss is 0
    return torch.cat(found)


def judge(results: Results) -> list[Finding]:
    ways = results.levels("way")
    none, *_, most = [way for way in ways if way.startswith("prompt")]
    findings = []
    for model in results.levels("model"):
        for task in results.levels("task"):
            where = {"model": model, "task": task}
            chance = results.by_seed("majority", way=none, **where)
            scores = results.by_seed("accuracy", way=none, **where)
            lead = minus(scores, chance)
            findings.append(above(f"{model}, {task}: {none}, minus the commonest class", lead))
            gain = results.difference("accuracy", {**where, "way": most}, {**where, "way": none})
            findings.append(above(f"{model}, {task}: {most}, minus {none}", gain))
    return findings


STUDY = Study(
    name="prompts",
    claim="A pretrained language model answers a task that its text tells of without any label, "
    "and better with examples in the prompt.",
    source="The lecture on GPT and T5. Brown et al. 2020, Language Models are Few-Shot Learners, "
    "sections 2 and 3.1 (zero, one and few examples; the likelier of several words) and 3.8 "
    "(entailment, where few examples hardly help); Raffel et al. 2020, T5, section 2.4 (every task "
    "as text to text).",
    setup="GPT and T5 read about an invented world, once for each seed. Then they are asked, with "
    "no weight changed, in the words of its documents: is an opinion positive (OPINION , so it was "
    "good, or bad), and does one sentence follow from another (ONE , that is, or but not, OTHER). "
    "GPT says how likely the text is with either, T5 how likely either is in the gap, which is "
    "marked as in its pretraining.\n\nBefore the question stand 0, 1, 2, 4 or 8 examples with "
    "their gaps filled, all as one text. They are drawn anew for each question, out of eight of "
    "which four are of each class. The test holds other words than they do. Two things speak "
    "against them: a document of the world keeps to one opinion, and T5 has read 40 tokens at a "
    "time, which three examples and the question exceed.\n\nSome test sentences, filled rightly, "
    "stand word for word in the documents: a sixth of the opinions, there with more words behind "
    "them, and a third to three fifths of the entailments. They are dropped, for who answers those "
    "may only quote.\n\nThe controls change "
    "weights instead: the model is trained to fill the gaps of these eight, or of 128 examples, "
    "and then asked with none before the question.",
    rule="The claim is that for each model and task the prompt without examples lies above the "
    "commonest class, and the prompt with the most of them above that without. The trained ones "
    "are not judged.",
    settings=Settings(),
    quick=QUICK,
    cells=cells,
    needs=needs,
    run=run,
    judge=judge,
    factors=("model", "task", "way"),
    figures=(Figure("accuracy", "Accuracy", levels=("majority",)),),
    quick_seeds=2,
)
