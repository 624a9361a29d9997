"""Transfer learning on text: the whole story with no argument, or step by step.

    python train_nlp.py                    word vectors, BERT on five tasks, GPT, T5 (8 minutes)
    python train_nlp.py --quick            the same in small
    python train_nlp.py --pretrained       the same with the weights that come with minift
    python train_nlp.py pretrain --model bert --text book.txt --out runs/bert
    python train_nlp.py finetune --from runs/bert --data reviews.tsv --out runs/reviews
    python train_nlp.py finetune --pretrained bert-mini --data world:sentiment --num-train 128
    python train_nlp.py evaluate --from runs/reviews --data dev.tsv
    python train_nlp.py predict --from runs/reviews "a film to remember"
    python train_nlp.py show --from runs/bert --data reviews.tsv
    python train_nlp.py show --from runs/reviews --data reviews.tsv --page show.html
    python train_nlp.py neighbors --from runs/words king queen
    python train_nlp.py fill-mask --from runs/bert "the [MASK] is red ."
    python train_nlp.py generate --from runs/gpt "once upon a time"
    python train_nlp.py study list

train_cv.py is the same script for pictures: lay the two side by side.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import minift
from minift.checkpoint import read_description, require_tokenizer
from minift.data.batches import hold_out_rows, num_examples
from minift.interop import fetch
from minift.models.gpt import GPT
from minift.models.registry import CONFIGS
from minift.models.t5 import T5
from minift.models.word2vec import analogy, nearest
from minift.objectives.scores import majority_accuracy
from minift.recipes import finetuning, story_nlp
from minift.recipes.cli import (
    SHARED_DEFAULTS,
    add_config,
    at_least_one,
    config_from,
    config_overrides,
    default_folder,
    page_flag,
    require_cpu,
    require_no_config,
    resume_file,
    run,
    shared_flags,
    source_flags,
)
from minift.recipes.datasets import (
    answer_scores,
    classification_dataset,
    decode_span,
    span_dataset,
)
from minift.recipes.finetuning import FinetuneConfig, finetune, probabilities, run_model, score
from minift.recipes.pages import check_page, text_page
from minift.recipes.pretraining import PretrainConfig
from minift.recipes.report import format_table
from minift.recipes.sources import HELD_OUT
from minift.recipes.text_commands import (
    FAMILIES,
    Task,
    TaskFormat,
    checked_length,
    commonest_answers,
    describe_row,
    encoded,
    head_for,
    hold_out,
    load_documents,
    load_task,
    pretrain_text,
    pretraining_rows,
    require_fit,
    text_model,
    token_vectors,
    train_tokenizer,
    word_id,
)
from minift.shipped import shipped_folder
from minift.stages import Model
from minift.studies.cli import study_command, study_flags
from minift.studies.nlp import STUDIES
from minift.tokenizers import Tokenizer
from minift.training.metrics import perplexity
from minift.training.precision import Seeds, resolve_device

SKIP = ("seed", "precision", "progress")


def story(args: argparse.Namespace) -> None:
    require_cpu(args)
    settings = story_nlp.QUICK if args.quick else story_nlp.StorySettings()
    settings = replace(
        settings,
        seed=args.seed,
        num_seeds=args.seeds or 1,
        pretrained=args.is_pretrained,
        precision=args.precision,
        progress=args.progress,
    )
    told = story_nlp.tell_story(settings, args.out, say=print)
    print()
    print(format_table(story_nlp.COLUMNS, [row.cells() for row in told.rows]))
    print(f"\n{told.seconds:.0f} seconds; the page with pictures is {args.out / 'report.html'}")
    assert told.model is not None
    minift.save(
        told.model,
        args.out / "pretrained",
        told.tokenizer,
        lineage={
            "recipe": "train_nlp.py",
            "seed": args.seed,
            "data": "world",
            "parent": "bert-mini" if settings.pretrained else None,
        },
    )


def pretrain(args: argparse.Namespace) -> None:
    name, family = text_model(args.model)
    needs = FAMILIES[family]
    overrides = config_overrides(args.config, CONFIGS[family])
    documents = load_documents(args.data, args.text, limit=args.num_train, seed=args.seed)
    train, test = hold_out(documents, family, seed=args.seed)
    is_world = args.data == "world" and not args.text
    tokenizer = train_tokenizer(args.tokenizer, family, train, args.vocab_size, is_world=is_world)
    config = config_from(args, PretrainConfig, **unset(args, PretrainConfig, needs.pretraining))
    torch.manual_seed(Seeds.from_seed(args.seed).init)
    model = fresh(name, needs.head, tokenizer, overrides)
    checked_length(model, config.max_length)
    model.to(resolve_device(args.device))
    resume = resume_file(args.out, args.resume)
    algorithm = "cbow" if args.model == "cbow" else "skipgram"
    result = pretrain_text(
        model,
        tokenizer,
        train,
        test,
        config,
        resume_path=resume,
        algorithm=algorithm,
        window=args.window,
        num_negatives=args.num_negatives or None,
    )
    save(args, model, tokenizer, None, parent=None)
    resume.unlink(missing_ok=True)  # not before: what is not saved can be lost
    majority = commonest_answers(model, tokenizer, test, config)
    print_scores(result.scores, majority, result.seconds, args.out)


def finetune_(args: argparse.Namespace) -> None:
    if args.source is None and args.tokenizer_from is None:
        raise ValueError(
            "--from must name a checkpoint folder, or --pretrained the weights that come with "
            "minift, or else --tokenizer-from one"
        )
    torch.manual_seed(Seeds.from_seed(args.seed).init)
    tokenizer = minift.load_tokenizer(args.tokenizer_from or args.source)
    if args.source is None:
        name, family = text_model(args.model)
        overrides = config_overrides(args.config, CONFIGS[family])
        model = fresh(name, None, tokenizer, overrides)
    else:
        require_no_config(args)
        model = minift.load(args.source)
        require_tokenizer(model, tokenizer)
    head = head_for(model.family, args.data, args.head)
    train, test = load_training(args, model, tokenizer, head)
    print_remarks(train, test)
    # A head with classes starts anew: two classes of another task are other classes.
    if head != model.head_name or train.classes is not None:
        model.reset_head(head, None if train.classes is None else len(train.classes))
    model.to(resolve_device(args.device))
    suited = FAMILIES[model.family].finetuning
    config = config_from(args, FinetuneConfig, **unset(args, FinetuneConfig, suited))
    resume = resume_file(args.out, args.resume)
    result = finetune(model, train.dataset, config, validation=test.dataset, resume_path=resume)
    save(
        args,
        model,
        tokenizer,
        train.classes,
        parent=args.pretrained or args.from_hub or args.source,
    )
    resume.unlink(missing_ok=True)
    print(f"{result.trainable:.1%} of the weights were trained")
    scores = result.scores if test.answers is None else judge(args, model, tokenizer, test)
    print_scores(scores, majority_of(test), result.seconds, args.out)


def evaluate(args: argparse.Namespace) -> None:
    model, tokenizer = load(args)
    head = trained_head(model)
    form = task_format(args, model)
    classes = read_description(args.source).get("classes")
    test = load_task(
        args.data,
        head,
        tokenizer,
        form,
        classes=classes,
        split="test",
        limit=args.num_test,
        seed=args.seed,
    )
    print_remarks(test)
    print_scores(judge(args, model, tokenizer, test), majority_of(test))


def predict(args: argparse.Namespace) -> None:
    model, tokenizer = load(args)
    head = trained_head(model)
    max_length = checked_length(model, args.max_length)
    if head == "lm":
        require_fit(tokenizer, args.texts, None, max_length)
        for text in args.texts:
            print(f"{text}: {write(args, model, tokenizer, text)}")
        return
    if head == "span":
        if args.context is None or len(args.context) not in (1, len(args.texts)):
            raise ValueError("--context must be one text, or one for each question")
        contexts = args.context * (len(args.texts) // len(args.context))
        require_fit(tokenizer, args.texts, contexts, max_length)
        batch = span_dataset(tokenizer, args.texts, contexts, max_length=max_length)
        for row, span in enumerate(finetuning.predict(model, batch, args.precision)):
            # Without an answer the span points at [CLS], which is no word.
            answer = decode_span(tokenizer, batch["input_ids"][row], span)
            print(f"{args.texts[row]}: {answer or '(no answer)'}")
        return
    classes = read_description(args.source).get("classes") or range(model.num_classes or 0)
    require_fit(tokenizer, args.texts, args.pair, max_length)
    batch = classification_dataset(tokenizer, args.texts, args.pair, max_length=max_length)
    if not batch["attention_mask"].any(dim=1).all():
        raise ValueError("a text to predict must have at least one token, got an empty one")
    found = probabilities(model, batch, args.precision)
    for row, text in enumerate(args.texts):
        best = found[row].topk(min(3, len(found[row])))
        named = [f"{list(classes)[i]} {p:.1%}" for p, i in zip(best.values, best.indices.tolist())]
        print(f"{text}: {', '.join(named)}")


def show(args: argparse.Namespace) -> None:
    if args.page is not None:
        check_page(args.page)
    model, tokenizer = load(args)
    form = task_format(args, model)
    if args.text or args.data in ("world", "docs"):
        documents = load_documents(args.data, args.text, limit=args.num_train or 50, seed=args.seed)
        config = PretrainConfig(batch_size=5, max_length=form.max_length, seed=args.seed)
        five = Task(pretraining_rows(model, tokenizer, encoded(tokenizer, documents), config))
        ids = ["input_ids", "decoder_input_ids", "labels", "mlm_labels"]
    else:
        head = head_for(model.family, args.data, args.head)
        limit = args.num_train or 5
        five = load_task(args.data, head, tokenizer, form, limit=limit, seed=args.seed)
        ids = ["input_ids", "decoder_input_ids", *(["labels"] if head == "lm" else [])]
    for row in range(min(5, num_examples(five.dataset))):
        print(f"example {row}")
        for line in describe_row(five.dataset, row, tokenizer, ids=ids, classes=five.classes):
            print(f"  {line}")
    if args.page is not None:
        test = judged_texts(args, model, tokenizer, five)
        page = text_page(args.data, five, model, tokenizer, test, args.precision)
        page.write(args.page)
        print(f"the page is {args.page}")


def judged_texts(
    args: argparse.Namespace, model: Model, tokenizer: Tokenizer, five: Task
) -> Task | None:
    """Test rows whose classes the model's head names; None if it names other things."""
    known = read_description(args.source).get("classes")
    if model.head_name != "classify" or known is None or known != five.classes:
        return None
    form = task_format(args, model)
    return load_task(
        args.data, "classify", tokenizer, form, classes=known, split="test", seed=args.seed
    )


def neighbors(args: argparse.Namespace) -> None:
    model, tokenizer = load(args)
    vectors = token_vectors(model, tokenizer)
    special = sorted(tokenizer.special_ids)
    number = max(1, min(args.number, len(vectors) - len(special) - 3))
    if args.analogy is not None:
        a, b, c = args.analogy
        question = torch.tensor([word_id(tokenizer, word) for word in args.analogy])
        answers = [tokenizer.vocab[i] for i in analogy(vectors, question, number).tolist()]
        print(f"{a} is to {b} as {c} is to: {', '.join(answers)}")
    for word in args.words:
        query = word_id(tokenizer, word)
        exclude = torch.tensor([query, *special])
        ids, cosines = nearest(vectors, vectors[query], number, exclude)
        named = [f"{tokenizer.vocab[i]} {c:.2f}" for i, c in zip(ids.tolist(), cosines.tolist())]
        print(f"{word}: {', '.join(named)}")


def fill_mask(args: argparse.Namespace) -> None:
    model, tokenizer = load(args)
    if model.head_name not in ("pretrain", "mlm") or model.family != "bert":
        raise ValueError(
            f"--from must be a pretrained BERT, with head pretrain or mlm, got {model.family} "
            f"with head {model.head_name}"
        )
    require_fit(tokenizer, [args.text], None, checked_length(model, args.max_length))
    batch = tokenizer([args.text])
    masks = [at for at, i in enumerate(batch["input_ids"][0].tolist()) if i == tokenizer.mask_id]
    if not masks:
        raise ValueError(f"text must hold [MASK], got {args.text!r}")
    with torch.inference_mode():
        output = run_model(model, on_device(batch, args))
        logits = output.mlm if model.head_name == "pretrain" else output  # (1, T, V)
        probabilities = logits[0, masks, : tokenizer.vocab_size].softmax(-1)  # (M, V)
    for number, row in enumerate(probabilities, 1):
        best = row.topk(min(5, len(row)))
        named = [
            f"{tokenizer.vocab[i]} {p:.1%}" for p, i in zip(best.values, best.indices.tolist())
        ]
        print(f"mask {number}: {', '.join(named)}")


def generate(args: argparse.Namespace) -> None:
    model, tokenizer = load(args)
    if isinstance(model, T5):  # GPT says itself what it has no positions for
        require_fit(tokenizer, [args.prompt], None, checked_length(model, args.max_length))
    print(write(args, model, tokenizer, args.prompt))


def load(args: argparse.Namespace) -> tuple[Model, Tokenizer]:
    """The model of --from on its device, and its own tokenizer."""
    model = minift.load(args.source).to(resolve_device(args.device))
    tokenizer = minift.load_tokenizer(args.source)
    require_tokenizer(model, tokenizer)
    return model, tokenizer


def fresh(name: str, head: str | None, tokenizer: Tokenizer, overrides: dict[str, Any]) -> Model:
    """A model with fresh weights that reads what `tokenizer` writes."""
    config = {"vocab_size": tokenizer.vocab_size, **overrides}
    if name == "word2vec":
        config["pad_id"] = tokenizer.pad_id
    model = minift.create_model(name, head=head, **config)
    require_tokenizer(model, tokenizer)
    return model


def load_training(
    args: argparse.Namespace, model: Model, tokenizer: Tokenizer, head: str
) -> tuple[Task, Task]:
    """What to finetune on and what to judge by: --validation, the world's own, or rows held out."""
    form = task_format(args, model)
    is_world = args.data.startswith("world:")
    limit = args.num_train
    if limit is not None and not is_world and args.validation is None:
        limit = round(limit / (1 - HELD_OUT))  # so many are left to train on
    train = load_task(args.data, head, tokenizer, form, limit=limit, seed=args.seed)
    classes = train.classes
    if classes is not None and len(classes) < 2:
        raise ValueError(f"--data must have labels of two classes or more, found {classes}")
    if is_world or args.validation is not None:
        test = load_task(
            args.validation or args.data,
            head,
            tokenizer,
            form,
            classes=classes,
            split="validation",
            seed=args.seed,
        )
        return train, test
    numbered = {**train.dataset, "number": torch.arange(num_examples(train.dataset))}
    rows, held_out = hold_out_rows(numbered, HELD_OUT, seed=args.seed)
    rows.pop("number")
    numbers = held_out.pop("number").tolist()
    answers = None if train.answers is None else [train.answers[number] for number in numbers]
    return Task(rows, classes, remarks=train.remarks), Task(held_out, classes, answers)


def task_format(args: argparse.Namespace, model: Model) -> TaskFormat:
    """How rows become tensors, by the flags and the model."""
    return TaskFormat(
        max_length=checked_length(model, args.max_length),
        max_target_length=args.max_target_length,
        start_id=getattr(model.config, "start_id", 0),
        text=args.text_column,
        pair=args.pair_column,
        label=args.label_column,
    )


def judge(
    args: argparse.Namespace, model: Model, tokenizer: Tokenizer, test: Task
) -> dict[str, float]:
    """The scores of a finetuned model: SQuAD's for answers in a context, else its head's."""
    if test.answers is None:
        return score(model, test.dataset, args.precision)
    spans = finetuning.predict(model, test.dataset, args.precision)
    return answer_scores(tokenizer, test.dataset["input_ids"], spans, test.answers)


def majority_of(test: Task) -> dict[str, float]:
    """The accuracy of always answering the commonest class, or token; spans have neither."""
    return {} if test.answers else {"accuracy": majority_accuracy(test.dataset["labels"])}


def trained_head(model: Model) -> str:
    """The head of a model that was finetuned; ValueError if it was only pretrained."""
    name = model.head_name
    if name in ("classify", "span") or (name == "lm" and model.family == "t5"):
        return name
    raise ValueError(f"--from must be a finetuned model, got {model.family} with head {name!r}")


def write(args: argparse.Namespace, model: Model, tokenizer: Tokenizer, prompt: str) -> str:
    """What GPT goes on with, or T5 answers."""
    if not isinstance(model, GPT | T5):
        raise ValueError(f"--from must be a GPT or a T5 to generate text, got {model.family}")
    if isinstance(model, GPT):  # whose texts begin behind the end of another one
        start = [tokenizer.eos_id or 0, *tokenizer.encode(prompt, special_tokens=False)]
        input_ids = torch.tensor([start])
    else:
        input_ids = tokenizer([prompt])["input_ids"]
    device = resolve_device(args.device)
    ids = model.generate(
        input_ids.to(device),
        max_new_tokens=args.max_new_tokens,
        temperature=args.temperature,
        top_k=args.top_k,
        top_p=args.top_p,
        generator=torch.Generator(device).manual_seed(args.seed),
        eos_id=tokenizer.eos_id,
    )[0].tolist()
    # A vocabulary that was padded to a round size has rows for no token.
    ids = [i for i in ids if i < tokenizer.vocab_size]
    if isinstance(model, GPT):
        return tokenizer.decode(ids)
    ends = {tokenizer.eos_id, tokenizer.pad_id}  # sentinels stay: they say which span is written
    return tokenizer.decode([i for i in ids if i not in ends], skip_special_tokens=False)


def on_device(batch: dict[str, Tensor], args: argparse.Namespace) -> dict[str, Tensor]:
    return {name: values.to(resolve_device(args.device)) for name, values in batch.items()}


def unset(args: argparse.Namespace, config_class: type, suited: dict[str, Any]) -> dict[str, Any]:
    """Settings for which no flag was given: what suits the model, else the configuration's own."""
    own = {field.name: field.default for field in fields(config_class)}
    return {
        name: suited.get(name, value)
        for name, value in own.items()
        if getattr(args, name, None) is None
    }


def save(
    args: argparse.Namespace,
    model: Model,
    tokenizer: Tokenizer,
    classes: list[str] | None,
    parent: str | None,
) -> None:
    lineage = {
        "recipe": f"train_nlp.py {args.command}",
        "seed": args.seed,
        "data": getattr(args, "text", None) or args.data,
        "num_train": args.num_train,
        "parent": parent,
    }
    minift.save(model, args.out, tokenizer, classes=classes, lineage=lineage)


def print_remarks(*tasks: Task) -> None:
    for task in tasks:
        for remark in task.remarks:
            print(remark)


def print_scores(
    scores: dict[str, float],
    majority: dict[str, float],
    seconds: float | None = None,
    out: Path | None = None,
) -> None:
    """Print scores, beside an accuracy what always giving the commonest answer would get."""
    shown = dict(scores)
    if "loss" in scores and list(scores.values()).count(scores["loss"]) > 1:  # a sum of one
        del shown["loss"]
    if "lm_loss" in scores:
        shown["perplexity"] = perplexity(scores["lm_loss"])
    beside = {name: f" (majority {value:.4f})" for name, value in majority.items()}
    print(", ".join(f"{name} {value:.4f}{beside.get(name, '')}" for name, value in shown.items()))
    if out is not None:
        print(f"{seconds:.0f} seconds; saved in {out}")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    shared = shared_flags()
    data = argparse.ArgumentParser(add_help=False)
    data.add_argument("--data", default="world:sentiment",
                      help="world:TASK, a .tsv, .csv or .jsonl file, or a SQuAD .json")  # fmt: skip
    data.add_argument("--num-train", type=at_least_one,
                      help="rows to train on (default: all; of world:TASK, 256)")  # fmt: skip
    columns = argparse.ArgumentParser(add_help=False)
    columns.add_argument("--text-column", metavar="X", help="name, or number from 1")
    columns.add_argument("--pair-column", metavar="X", help="of the second sentence, if any")
    columns.add_argument("--label-column", metavar="X", help="of the label, or of T5's target")
    columns.add_argument(
        "--max-target-length", type=at_least_one, default=32, help="tokens of T5's target"
    )
    length = argparse.ArgumentParser(add_help=False)
    length.add_argument("--max-length", type=int, metavar="X",
                        help="tokens a row (default: 128, or the model's positions)")  # fmt: skip
    source = source_flags("a checkpoint folder")
    written = argparse.ArgumentParser(add_help=False)
    written.add_argument(
        "--max-new-tokens", type=at_least_one, default=40, help="at most (default: 40)"
    )
    sizes = argparse.ArgumentParser(add_help=False)
    sizes.add_argument("--config", nargs="+", default=[], metavar="NAME=VALUE",
                       help="of the model's configuration, such as num_layers=2")  # fmt: skip

    parser = argparse.ArgumentParser(
        prog="train_nlp.py",
        description=__doc__,
        parents=[shared],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="the story in under 45 seconds")
    parser.add_argument("--pretrained", action="store_true", dest="is_pretrained",
                        help="the story with the weights that come with minift")  # fmt: skip
    parser.add_argument("--seeds", type=at_least_one, help="fine-tunings of each kind (default: 1)")
    parser.set_defaults(run=story)
    commands = parser.add_subparsers(dest="command")

    def command(
        name: str, function: object, help: str, *parents: argparse.ArgumentParser
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=help, description=help, parents=[shared, *parents])
        added.set_defaults(run=function)
        return added

    added = command("pretrain", pretrain, "train a fresh model on plain text", sizes)
    added.add_argument("--model", default="bert", help="bert, gpt, t5, cbow, skipgram or one of "
                       "minift.list_models()")  # fmt: skip
    added.add_argument("--data", default="world", help="world or docs (default: world)")
    added.add_argument("--text", nargs="+", metavar="FILE", help="plain text files, not --data")
    added.add_argument(
        "--num-train",
        type=at_least_one,
        help="documents to train on (default: all; of world, 20,000)",
    )
    added.add_argument("--tokenizer", help="word, wordpiece or bpe (default: by the model)")
    added.add_argument(
        "--vocab-size", type=at_least_one, default=4096, help="tokens (default: 4096)"
    )
    added.add_argument(
        "--window", type=at_least_one, default=5, help="word2vec's farthest neighbour"
    )
    added.add_argument("--num-negatives", type=int, default=5,
                       help="word2vec's drawn words; 0: the full softmax")  # fmt: skip
    added.add_argument("--resume", action="store_true", help="go on with a run that was stopped")
    add_config(added, PretrainConfig, SKIP, batch_size=None, lr=None, weight_decay=None,
               max_length=None, save_every=500)  # fmt: skip

    added = command("finetune", finetune_, "give a pretrained model a new task", data, columns,
                    length, source, sizes)  # fmt: skip
    added.add_argument("--model", default="bert", help="from scratch, without --from")
    added.add_argument("--tokenizer-from", metavar="FOLDER",
                       help="its tokenizer, without --from; also a shipped name")  # fmt: skip
    added.add_argument("--head", help="classify, span or lm (default: by --data and the model)")
    added.add_argument("--validation", metavar="FILE", help="to judge by (default: 20%% held out)")
    added.add_argument("--resume", action="store_true", help="go on with a run that was stopped")
    add_config(added, FinetuneConfig, SKIP, lr=None, save_every=200)
    own = FinetuneConfig.lr
    rates = [f"{name} {needs.finetuning.get('lr', own):g}" for name, needs in FAMILIES.items()]
    added.epilog = f"--lr by the model: {', '.join(rates)}"

    added = command("evaluate", evaluate, "score a model on the test split", data, columns,
                    length, source)  # fmt: skip
    added.add_argument(
        "--num-test", type=at_least_one, help="test rows (default: all; of world:TASK, 256)"
    )
    added = command("predict", predict, "say what a finetuned model makes of texts", length,
                    source, written)  # fmt: skip
    added.set_defaults(temperature=0.0, top_k=None, top_p=None)  # an answer is not left to chance
    added.add_argument("texts", nargs="+", metavar="text", help="texts, or questions")
    added.add_argument("--pair", nargs="+", metavar="TEXT", help="the second texts")
    added.add_argument("--context", nargs="+", metavar="TEXT", help="where the answers stand")
    added = command("show", show, "five training examples as the model sees them", data, columns,
                    length, source)  # fmt: skip
    page_flag(added)
    added.add_argument("--text", nargs="+", metavar="FILE", help="pretraining on these files")
    added.add_argument("--head", help="classify, span or lm (default: by --data and the model)")
    added = command("neighbors", neighbors, "the nearest words", source)
    added.add_argument("words", nargs="*", metavar="word", help="words of the vocabulary")
    added.add_argument("--analogy", nargs=3, metavar=("A", "B", "C"), help="A is to B as C is to?")
    added.add_argument("--number", type=at_least_one, default=5, help="of answers (default: 5)")
    added = command("fill-mask", fill_mask, "what may stand at each [MASK]", length, source)
    added.add_argument("text", help="a text with [MASK] in it")
    added = command("generate", generate, "go on with a text", length, source, written)
    added.add_argument("prompt", help="how the text begins")
    added.add_argument("--temperature", type=float, default=0.8, help="0: the likeliest token, "
                       "always (default: 0.8)")  # fmt: skip
    added.add_argument("--top-k", type=int, help="sample from the k likeliest tokens")
    added.add_argument("--top-p", type=float, help="sample from those that together reach p")
    command("study", study_command(STUDIES, parser.prog), "test what the lecture claims",
            study_flags())  # fmt: skip

    args = parser.parse_args(argv, argparse.Namespace(**SHARED_DEFAULTS))
    args.out = args.out or default_folder("nlp", args.command)
    if args.command is not None and args.is_pretrained:
        parser.error("--pretrained before a command is for the story; behind it, name the weights")
    if args.command not in (None, "study") and (args.quick or args.seeds is not None):
        parser.error(
            "--quick and --seeds belong to the studies, and to the story without a command"
        )
    if getattr(args, "from_hub", None) is not None:
        args.source = fetch(args.from_hub)
    if getattr(args, "pretrained", None) is not None:
        args.source = shipped_folder(args.pretrained)
    if args.command not in (None, "pretrain", "finetune", "study") and args.source is None:
        parser.error(
            "--from must name a checkpoint folder; or --pretrained the weights that come with "
            "minift"
        )
    if args.command == "pretrain" and args.num_negatives < 0:
        parser.error(f"--num-negatives must be 0 or more, got {args.num_negatives}")
    if args.command == "neighbors" and not args.words and args.analogy is None:
        parser.error("neighbors needs words, or --analogy")
    return args


def main(argv: Sequence[str] | None = None) -> None:
    args = parse(argv)
    args.run(args)


if __name__ == "__main__":
    run(main, "train_nlp.py")
