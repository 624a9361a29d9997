"""Transfer learning on pictures: the whole story with no argument, or step by step.

    python train_cv.py                     pretrain, then compare the ways of transfer (5 minutes)
    python train_cv.py --quick             the same in small
    python train_cv.py --pretrained        the same with the weights that come with minift
    python train_cv.py pretrain --model resnet20 --data fashion-mnist --data-dir F --out runs/a
    python train_cv.py finetune --from runs/a --data mnist --data-dir M --num-train 500 --out runs/b
    python train_cv.py finetune --from resnet18.pth --data shapes:near --out runs/c
    python train_cv.py finetune --pretrained resnet-tiny --data shapes:near --num-train 100
    python train_cv.py evaluate --from runs/b --data mnist --data-dir M
    python train_cv.py predict --from runs/b picture.png
    python train_cv.py show --data shapes:near
    python train_cv.py show --from runs/b --data mnist --data-dir M --page show.html
    python train_cv.py study list

train_nlp.py is the same script for text: lay the two side by side.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

import minift
from minift.checkpoint import read_description
from minift.data.batches import hold_out_rows, num_examples, take
from minift.interop import fetch
from minift.interop.files import weights_file
from minift.models.registry import CONFIGS
from minift.objectives.scores import majority_accuracy
from minift.recipes import story_cv
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
from minift.recipes.finetuning import FinetuneConfig, finetune, probabilities, score
from minift.recipes.pages import check_page, picture_page
from minift.recipes.pictures import contact_sheet, encode_png
from minift.recipes.pretraining import PretrainConfig, pretrain_resnet, resnet_steps
from minift.recipes.report import format_table
from minift.recipes.sources import HELD_OUT, Pictures, load_picture, load_pictures
from minift.shipped import shipped_folder
from minift.stages import Model
from minift.studies.cli import study_command, study_flags
from minift.studies.cv import STUDIES
from minift.training.files import write_bytes
from minift.training.precision import Seeds, resolve_device

FINETUNE_SKIP = ("seed", "precision", "progress")
PRETRAIN_SKIP = (
    *FINETUNE_SKIP, "num_steps", "max_length", "max_sentences", "mask_rate", "whole_words"
)  # fmt: skip


def story(args: argparse.Namespace) -> None:
    require_cpu(args)
    settings = story_cv.QUICK if args.quick else story_cv.StorySettings()
    settings = replace(
        settings,
        seed=args.seed,
        num_seeds=args.seeds or 1,
        pretrained=args.is_pretrained,
        precision=args.precision,
        progress=args.progress,
    )
    told = story_cv.tell_story(settings, args.out, say=print)
    print()
    print(format_table(story_cv.COLUMNS, [row.cells() for row in told.rows]))
    print(f"\n{told.seconds:.0f} seconds; the page with pictures is {args.out / 'report.html'}")
    minift.save(
        told.model,
        args.out / "pretrained",
        classes=list(story_cv.SHAPES_CLASSES["source"]),
        lineage={
            "recipe": "train_cv.py",
            "seed": args.seed,
            "data": "shapes:source",
            "parent": settings.model if settings.pretrained else None,
        },
    )


def pretrain(args: argparse.Namespace) -> None:
    train = load_pictures(args.data, data_dir=args.data_dir, limit=args.num_train, seed=args.seed)
    test = load_pictures(args.data, data_dir=args.data_dir, split="test", seed=args.seed)
    steps = resnet_steps(train.dataset, args.batch_size, args.epochs)
    config = config_from(args, PretrainConfig, num_steps=steps)
    torch.manual_seed(Seeds.from_seed(args.seed).init)
    model = fresh(args, "classify", len(train.classes))
    resume = resume_file(args.out, args.resume)
    result = pretrain_resnet(
        model, train.dataset, config, held_out=test.dataset, resume_path=resume
    )
    save(args, model, train.classes, parent=None)
    resume.unlink(missing_ok=True)  # not before: what is not saved can be lost
    print_scores(result.scores, test, result.seconds, args.out)


def finetune_(args: argparse.Namespace) -> None:
    train = load_pictures(args.data, data_dir=args.data_dir, limit=args.num_train, seed=args.seed)
    test = load_pictures(args.data, data_dir=args.data_dir, split="test", seed=args.seed)
    num_classes = num_outputs(args.head, train.classes)
    torch.manual_seed(Seeds.from_seed(args.seed).init)
    if args.source is None:
        model = fresh(args, args.head, num_classes)
    else:
        require_no_config(args)
        model = load(args)
        model.reset_head(args.head, num_classes)
    require_labels(args, model, train)
    config = config_from(args, FinetuneConfig)
    rows, validation = train.dataset, None
    if config.validate_every is not None:
        # Weights that were chosen by the test pictures would be judged by them too kindly.
        rows, validation = hold_out_rows(rows, HELD_OUT, seed=args.seed)
    resume = resume_file(args.out, args.resume)
    result = finetune(model, rows, config, validation=validation, resume_path=resume)
    save(args, model, train.classes, parent=args.pretrained or args.from_hub or args.source)
    resume.unlink(missing_ok=True)
    print(f"{result.trainable:.1%} of the weights were trained")
    print_scores(score(model, test.dataset, args.precision), test, result.seconds, args.out)


def evaluate(args: argparse.Namespace) -> None:
    model = load(args)
    test = load_pictures(
        args.data, data_dir=args.data_dir, split=args.split, limit=args.num_test, seed=args.seed
    )
    require_labels(args, model, test)
    known = read_description(args.source).get("classes")
    if known is not None and known != test.classes:
        raise ValueError(f"--data has the classes {test.classes}, the model knows {known}")
    if model.num_classes != num_outputs(model.head_name, test.classes):
        raise ValueError(
            f"--data has {len(test.classes)} classes, the model's head {model.head_name} has "
            f"{model.num_classes} outputs"
        )
    print_scores(score(model, test.dataset, args.precision), test)


def predict(args: argparse.Namespace) -> None:
    model = load(args)
    if model.head_name != "classify":
        raise ValueError(f"--from must have a classify head, got {model.head_name!r}")
    classes = read_description(args.source).get("classes") or range(model.num_classes or 0)
    for path in args.pictures:
        image = load_picture(path, size=args.image_size)
        found = probabilities(model, {"images": image[None]}, args.precision)[0]
        best = found.topk(min(3, len(found)))
        named = [f"{list(classes)[i]} {p:.1%}" for p, i in zip(best.values, best.indices.tolist())]
        print(f"{path}: {', '.join(named)}")


def show(args: argparse.Namespace) -> None:
    if args.page is not None:
        check_page(args.page)
    elif args.source is not None:
        raise ValueError("--page must name a file: what a network makes of pictures stands there")
    model = None if args.source is None else load(args)
    pictures = load_pictures(
        args.data, data_dir=args.data_dir, limit=args.num_train or 5, seed=args.seed
    )
    five = take(pictures.dataset, torch.arange(min(5, len(pictures.dataset["images"]))))
    for row, label in enumerate(five["labels"].tolist()):
        image = five["images"][row]
        box = (
            f", box {[round(x, 2) for x in five['boxes'][row].tolist()]}" if "boxes" in five else ""
        )
        print(f"{row}: {pictures.classes[label]}, {tuple(image.shape)} {image.dtype}{box}")
    args.out.mkdir(parents=True, exist_ok=True)
    write_bytes(args.out / "show.png", encode_png(contact_sheet(five["images"], columns=5)))
    print(f"the pictures are in {args.out / 'show.png'}")
    if args.page is not None:
        test = None if model is None else judged_pictures(args, model, pictures.classes)
        page = picture_page(args.data, pictures, model, test, args.precision)
        page.write(args.page)
        print(f"the page is {args.page}")


def judged_pictures(args: argparse.Namespace, model: Model, classes: list[str]) -> Pictures | None:
    """Test pictures that the model's head can be judged by; None if it names other things."""
    known = read_description(args.source).get("classes")
    num_classes = num_outputs(model.head_name, classes)
    if model.head_name is None or known not in (None, classes) or model.num_classes != num_classes:
        return None
    test = load_pictures(args.data, data_dir=args.data_dir, split="test", limit=500, seed=args.seed)
    return test if truth_of(model) in test.dataset else None


def num_outputs(head: str | None, classes: list[str]) -> int | None:
    """The `num_classes` of a head for these classes; a pixel may also be background."""
    return {"classify": len(classes), "segment": len(classes) + 1}.get(head or "")


def load(args: argparse.Namespace) -> Model:
    """The model of --from on its device."""
    model = minift.load(args.source).to(resolve_device(args.device))
    if model.family != "resnet":
        raise ValueError(f"--from must be a model that reads pictures, got {model.family}")
    return model


def fresh(args: argparse.Namespace, head: str, num_classes: int | None) -> Model:
    """A model with fresh weights on its device."""
    overrides = config_overrides(args.config, CONFIGS["resnet"])
    model = minift.create_model(args.model, head=None, **overrides)
    if model.family != "resnet":
        raise ValueError(f"--model must be one that reads pictures, got {args.model!r}")
    model.reset_head(head, num_classes)
    return model.to(resolve_device(args.device))


def require_labels(args: argparse.Namespace, model: Model, pictures: Pictures) -> None:
    """Not all data has what each head learns from: a mask or a box beside the label."""
    name = truth_of(model)
    if name not in pictures.dataset:
        raise ValueError(f"--data {args.data} has no {name}, which head {model.head_name} needs")


def truth_of(model: Model) -> str:
    """The name of what the model's head is judged by."""
    return {"segment": "masks", "locate": "boxes"}.get(model.head_name or "", "labels")


def save(args: argparse.Namespace, model: Model, classes: list[str], parent: str | None) -> None:
    lineage = {
        "recipe": f"train_cv.py {args.command}",
        "seed": args.seed,
        "data": args.data,
        "num_train": args.num_train,
        "parent": parent,
    }
    minift.save(model, args.out, classes=classes, lineage=lineage)


def print_scores(
    scores: dict[str, float], test: Pictures, seconds: float | None = None, out: Path | None = None
) -> None:
    """Print scores; beside an accuracy, what always naming the commonest class would get."""
    said = []
    for name, value in scores.items():
        truth = {"accuracy": "labels", "pixels": "masks"}.get(name)
        labels = None if truth is None else test.dataset[truth].flatten()
        majority = "" if labels is None else f" (majority {majority_accuracy(labels):.4f})"
        said.append(f"{name} {value:.4f}{majority}")
    print(f"{num_examples(test.dataset)} pictures: {', '.join(said)}")
    if out is not None:
        print(f"{seconds:.0f} seconds; saved in {out}")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    shared = shared_flags()
    data = argparse.ArgumentParser(add_help=False)
    data.add_argument("--data", default="shapes:source",
                      help="shapes:source|near|mid|far, mnist, fashion-mnist, or a .npz file, of "
                      "which 20%% are held out for testing")  # fmt: skip
    data.add_argument("--data-dir", help="folder of the idx files")
    data.add_argument("--num-train", type=at_least_one,
                      help="pictures to train on (default: all; of shapes, 20,000)")  # fmt: skip
    source = source_flags(
        "a checkpoint folder, or a file of ResNet weights with torchvision's or timm's names "
        "(.pth, .pt, .safetensors)"
    )
    sizes = argparse.ArgumentParser(add_help=False)
    sizes.add_argument("--config", nargs="+", default=[], metavar="NAME=VALUE",
                       help="of the model's configuration, such as width=8")  # fmt: skip

    parser = argparse.ArgumentParser(
        prog="train_cv.py",
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

    added = command("pretrain", pretrain, "train a fresh network on many labels", data, sizes)
    added.add_argument("--model", default="resnet10", help="one of minift.list_models()")
    added.add_argument("--epochs", type=float, default=9, help="passes over the data (default: 9)")
    added.add_argument("--resume", action="store_true", help="go on with a run that was stopped")
    add_config(added, PretrainConfig, PRETRAIN_SKIP, batch_size=128, lr=4e-3, schedule="one_cycle",
               warmup=0.3, betas=(0.9, 0.999), save_every=500)  # fmt: skip

    added = command("finetune", finetune_, "give a pretrained network a new task", data, source,
                    sizes)  # fmt: skip
    added.add_argument("--model", default="resnet10", help="from scratch, without --from")
    added.add_argument("--head", default="classify", help="classify, segment or locate")
    added.add_argument("--resume", action="store_true", help="go on with a run that was stopped")
    # A small rate for what was pretrained, a large one for the fresh head.
    add_config(added, FinetuneConfig, FINETUNE_SKIP, lr=3e-4, head_lr=4e-3, save_every=200)
    added.epilog = f"--validate-every judges by {HELD_OUT:.0%} of the training pictures"

    added = command("evaluate", evaluate, "score a network on the test split", data, source)
    added.add_argument(
        "--num-test", type=at_least_one, help="test pictures (default: all; of shapes, 2,000)"
    )
    added.add_argument(
        "--split",
        default="test",
        help="train, test, or all rows of a .npz file that was not trained on (default: test)",
    )
    added = command("predict", predict, "name what is on pictures", source)
    added.add_argument("pictures", nargs="+", help="picture files (extra: images)")
    added.add_argument(
        "--image-size", type=at_least_one, default=32, help="side that pictures are brought to"
    )
    added = command("show", show, "five training examples as the model sees them", data, source)
    page_flag(added)
    command("study", study_command(STUDIES, parser.prog), "test what the lecture claims",
            study_flags())  # fmt: skip

    args = parser.parse_args(argv, argparse.Namespace(**SHARED_DEFAULTS))
    args.out = args.out or default_folder("cv", args.command)
    if args.command is not None and args.is_pretrained:
        parser.error("--pretrained before a command is for the story; behind it, name the weights")
    if args.command not in (None, "study") and (args.quick or args.seeds is not None):
        parser.error(
            "--quick and --seeds belong to the studies, and to the story without a command"
        )
    if getattr(args, "from_hub", None) is not None:
        args.source = weights_file(fetch(args.from_hub))
    if getattr(args, "pretrained", None) is not None:
        args.source = shipped_folder(args.pretrained)
    if args.command in ("evaluate", "predict") and args.source is None:
        parser.error(
            "--from must name a checkpoint: a folder or a file of weights; or --pretrained the "
            "weights that come with minift"
        )
    return args


def main(argv: Sequence[str] | None = None) -> None:
    args = parse(argv)
    args.run(args)


if __name__ == "__main__":
    run(main, "train_cv.py")
