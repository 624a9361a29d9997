"""How far minift is from the reference libraries: two tables, by `python -m benchmarks.parity`.

Models: small ones of each library, made at a fixed seed, are read by us, computed on both sides and
handed back. Texts have different lengths and are padded; BERT's are pairs.

    load        tensors (words) matched / missing in the file / in the file but not expected
    layers      largest difference in the output of any stage, of the largest number there
    logits      the same for the head's output, and for the loss
    gradient    largest difference in a weight's gradient, relative to the largest number in it (to
                the largest of all, where it is zero but for rounding, as for BERT's key biases)
    generation  greedy tokens that are the same, of how many
    export      their model beside what they read from the files that we wrote of it, as logits

Tokenizers: how many texts have other ids. With --data-dir these are, of each FOLDER/*/*.txt, .tsv,
.cor and .json, the first 20,000 lines, long ones in pieces, none twice, and the vocabularies are
the public ones in that folder; else the documentation that is on the machine, and learnt from it.
transformers' T5Tokenizer is not quite SentencePiece, and we go with the latter: of ways to cut that
are equally likely it may take another one, U+0085 parts words, and a second accent gets lost.
"""

# ruff: noqa: RUF001 (signs that look like others are the point)

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice, product, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import minift
from benchmarks.peers import prepare_torchvision
from benchmarks.report import Columns, Line, cells, machine, markdown, write
from minift import interop
from minift.data.docs import read_documentation
from minift.objectives.causal import shift_labels, shift_right
from minift.recipes.finetuning import loss_of
from minift.recipes.pretraining import bert_loss
from minift.tokenizers import ByteBPE, Unigram, WordPiece
from minift.training.files import write_text

PACKAGES = ["gensim", "sentencepiece", "tiktoken", "timm", "torchvision", "transformers"]
Batch = dict[str, Tensor]


def of_largest(found: dict[str, float]) -> str:
    return "{difference:.2g} of {largest:.3g}".format_map(found)


def exported(found: dict[str, float]) -> str:
    return of_largest(found) + (f", {found['astray']} astray" if found.get("astray") else "")


MODELS: Columns = {
    "model": str,
    "reference": str,
    "load": "{matched} / {missing} / {unexpected}".format_map,
    "layers": of_largest,
    "logits": of_largest,
    "loss": of_largest,
    "gradient": "{:.2g}".format,
    "generation": "{same} of {compared}".format_map,
    "export": exported,
}
TOKENIZERS: Columns = {
    "tokenizer": str,
    "reference": str,
    "tokens": "{:,}".format,
    "compared": "{:,}".format,
    "different": "{:,}".format,
    "the first that differs": str,
}

V, C, F, L, H, S, T = 199, 64, 128, 3, 4, 33, 13  # as in the models; S of texts, T of T5's answers
NUM_CLASSES, NUM_NEW_TOKENS = 10, 20
T5 = dict(d_model=C, d_kv=C // H, d_ff=F, num_layers=L, num_heads=H, decoder_start_token_id=0)
V1_1 = dict(T5, feed_forward_proj="gated-gelu", tie_word_embeddings=False)
BERT = dict(hidden_size=C, num_hidden_layers=L, num_attention_heads=H, intermediate_size=F)
TRANSFORMERS: dict[str, tuple[str, dict[str, Any]]] = {  # their class and its settings
    "BERT": ("BertForPreTraining", BERT),
    "GPT-2": ("GPT2LMHeadModel", dict(n_embd=C, n_layer=L, n_head=H, pad_token_id=0)),
    "T5 v1.0, ReLU": ("T5ForConditionalGeneration", T5),
    "T5 v1.1, gated": ("T5ForConditionalGeneration", V1_1),
}


def transformer_row(label: str, folder: Path) -> Line:
    import transformers

    name, settings = TRANSFORMERS[label]
    kind, is_t5 = getattr(transformers, name), label.startswith("T5")
    torch.manual_seed(0)
    theirs = kind(kind.config_class(vocab_size=V, **settings)).eval()
    if settings.get("tie_word_embeddings") is False:  # the setting alone does not untie them
        theirs.lm_head.weight = nn.Parameter(torch.randn(V, C) / C**0.5)
    shake(theirs)
    theirs.save_pretrained(folder / "theirs")
    ours, report = interop.load_folder(folder / "theirs")
    batch, asked = texts_for(label)
    inputs, mask = {name: batch[name] for name in ours.input_names}, batch["attention_mask"]

    with torch.no_grad():
        expected = theirs(**asked, output_hidden_states=True)
        flows = list(ours.trunk.outputs(ours.prepare(**inputs)).values())
        found = ours(**inputs)
    if is_t5:
        hidden = (*expected.encoder_hidden_states, *expected.decoder_hidden_states)
        layers = [flow.memory for flow in flows[: L + 1]] + [flow.hidden for flow in flows[L:]]
    else:
        hidden, layers = expected.hidden_states, [flow.hidden for flow in flows[: L + 1]]
    loss, _ = (bert_loss if label == "BERT" else loss_of)(ours, batch)
    loss.backward()
    theirs(**asked).loss.backward()
    generation = None if label == "BERT" else generated(ours, theirs, inputs)

    minift.save(ours, folder / "ours", layout="huggingface")
    again, info = kind.from_pretrained(folder / "ours", output_loading_info=True)
    with torch.no_grad():
        reread = logits_of(again.eval()(**asked))
    gradients_as_weights(ours)
    minift.save(ours, folder / "gradients", layout="huggingface")
    logits = logits_of(expected)
    export = apart(reread, logits, mask) | {"astray": sum(map(len, info.values()))}
    return {
        "model": label,
        "reference": "transformers",
        "load": loaded(report),
        "layers": apart(layers, hidden, mask),
        "logits": apart([found] if isinstance(found, Tensor) else found, logits, mask),
        "loss": apart([loss], [expected.loss]),
        "gradient": gradients_apart(kind.from_pretrained(folder / "gradients"), theirs),
        "generation": generation,
        "export": export,
    }


def texts_for(label: str) -> tuple[Batch, Batch]:
    """Four texts padded on the right: a batch of ours, and what their model is given for it."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(2, V, (4, S), generator=generator)
    lengths, positions = torch.tensor([[S], [20], [9], [4]]), torch.arange(S)
    mask = positions < lengths
    inputs = {"input_ids": ids.where(mask, 0), "attention_mask": mask}
    if label == "BERT":
        inputs["token_type_ids"] = ((positions >= lengths // 2) & mask).long()
        words, follows = ids.where(mask & (ids % 3 == 0), -100), torch.tensor([0, 1, 1, 0])
        theirs = {"labels": words, "next_sentence_label": follows}
        return {**inputs, "mlm_labels": words, "next_labels": follows}, {**inputs, **theirs}
    if label == "GPT-2":
        theirs = {"labels": ids.where(mask, -100)}
        return {**inputs, "labels": shift_labels(ids, mask)}, {**inputs, **theirs}
    answers = torch.randint(2, V, (4, T), generator=generator)
    answers = answers.where(torch.arange(T) < torch.tensor([[T], [5], [2], [9]]), -100)
    asked = {**inputs, "labels": answers}
    return {**asked, "decoder_input_ids": shift_right(answers, 0)}, asked


def generated(ours: Any, theirs: Any, inputs: Batch) -> dict[str, int]:
    prompts = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    if "decoder_input_ids" not in inputs:  # GPT's texts are turned round: padding on the left
        prompts = {name: values.flip(1) for name, values in prompts.items()}
    theirs.generation_config.eos_token_id = None  # all rows go on
    expected = theirs.generate(**prompts, max_new_tokens=NUM_NEW_TOKENS, do_sample=False)
    found = ours.generate(**prompts, max_new_tokens=NUM_NEW_TOKENS, temperature=0)
    same = found[:, -NUM_NEW_TOKENS:] == expected[:, -NUM_NEW_TOKENS:]
    return {"same": int(same.sum()), "compared": same.numel()}


def resnet_row(name: str, library: str, folder: Path) -> Line:
    make = getattr(importlib.import_module(f"{library}.models"), name)
    torch.manual_seed(0)
    theirs, again = (make(num_classes=NUM_CLASSES).eval() for _ in range(2))
    shake(theirs)
    torch.save(theirs.state_dict(), folder / "theirs.pth")
    ours, report = interop.load_resnet(folder / "theirs.pth")
    images = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    # Channels innermost, as ours are: in the other layout the sums have another order, by which
    # the gradients of their own ResNet-50 in fp32 differ by up to a quarter.
    images = images.contiguous(memory_format=torch.channels_last)
    batch = {"images": images, "labels": torch.tensor([0, 3, 9, 3])}

    hidden: list[Tensor] = []
    for part in (theirs.maxpool, theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4):
        part.register_forward_hook(lambda _module, _inputs, output: hidden.append(output))
    interop.save_resnet(ours, folder / "ours.pth")
    again.load_state_dict(torch.load(folder / "ours.pth", weights_only=True))
    with torch.no_grad():
        logits, found, reread = theirs(images), ours(images), again(images)
        layers = list(ours.trunk.outputs(ours.prepare(images)).values())
    layers_apart = apart(layers, hidden)  # before the hooks catch what comes next
    expected = nn.functional.cross_entropy(theirs.train()(images), batch["labels"])
    loss, _ = loss_of(ours.train(), batch)
    expected.backward()
    loss.backward()
    gradients_as_weights(ours)
    interop.save_resnet(ours, folder / "gradients.pth")
    again.load_state_dict(torch.load(folder / "gradients.pth", weights_only=True))
    return {
        "model": name,
        "reference": library,
        "load": loaded(report),
        "layers": layers_apart,
        "logits": apart([found], [logits]),
        "loss": apart([loss], [expected]),
        "gradient": gradients_apart(again, theirs),
        "export": apart([reread], [logits]),
    }


def word2vec_row(is_binary: bool, folder: Path) -> Line:
    from gensim.models import KeyedVectors

    words = ["the", "naïve", "日本", "😀", "e\u0301", "</s>", *(f"word{n}" for n in range(494))]
    theirs = KeyedVectors(C)
    theirs.add_vectors(words, np.random.default_rng(0).standard_normal((500, C), np.float32))
    theirs.save_word2vec_format(str(folder / "theirs"), binary=is_binary)
    model, tokenizer = interop.load_word2vec(folder / "theirs")
    own = dict(zip(tokenizer.vocab, model.vectors.numpy()))
    matched = [word for word in words if word in own and np.array_equal(own[word], theirs[word])]
    special = [tokenizer.vocab[index] for index in tokenizer.special_ids]
    missing, unexpected = own.keys() - {*words, *special}, set(words) - set(matched)
    report = interop.Report("", matched, sorted(missing), sorted(unexpected))
    interop.save_word2vec(model, tokenizer, folder / "ours", binary=is_binary)
    again = KeyedVectors.load_word2vec_format(str(folder / "ours"), binary=is_binary)
    return {
        "model": f"word2vec, {'binary' if is_binary else 'text'}",
        "reference": "gensim",
        "load": loaded(report),
        "export": apart([torch.tensor(again[words])], [torch.tensor(theirs[words])]),
    }


@torch.no_grad()
def shake(model: nn.Module) -> None:
    """No norm is left at 1 and no bias at 0: weights that are alike would hide a mix-up."""
    for values in model.state_dict().values():
        if values.is_floating_point() and values.ndim < 4:  # with convolutions numbers explode
            values.add_(torch.randn_like(values) * 0.1)


@torch.no_grad()
def gradients_as_weights(model: nn.Module) -> None:
    """So that an export has the gradients, under their names and in their shapes."""
    for weight in model.parameters():
        weight.copy_(torch.zeros_like(weight) if weight.grad is None else weight.grad)


def gradients_apart(written: nn.Module, theirs: nn.Module) -> float:
    """`written` has for weights the gradients that `theirs` should have."""
    expected = {name: weight.grad for name, weight in theirs.named_parameters()}
    top = max(gradient.abs().max() for gradient in expected.values())
    gaps = []
    for name, weight in written.named_parameters():
        largest = expected[name].abs().max()
        scale = largest if largest > 1e-6 * top else top
        gaps.append((weight.detach() - expected[name]).abs().max() / scale)
    return torch.stack(gaps).max().item()


def apart(
    found: Iterable[Tensor], expected: Iterable[Tensor], mask: Tensor | None = None
) -> dict[str, float]:
    """Largest difference, of the largest number; of (B, S, ...), as `mask` is, at real tokens."""
    gaps, sizes = [], []
    for one, other in zip(found, expected, strict=True):
        is_text = mask is not None and other.shape[:2] == mask.shape
        one, other = (one[mask], other[mask]) if is_text else (one, other)
        gaps.append((one - other).detach().abs().max())
        sizes.append(other.detach().abs().max())
    largest = torch.stack(sizes).max().item()
    return {"difference": torch.stack(gaps).max().item(), "largest": largest}


def loaded(report: interop.Report) -> dict[str, int]:
    names = ("matched", "missing", "unexpected")
    return {name: len(getattr(report, name)) for name in names}


def logits_of(output: Any) -> list[Tensor]:
    names = ("logits", "prediction_logits", "seq_relationship_logits")
    return [output[name] for name in names if name in output]


def model_rows() -> Iterator[Line]:
    nets = product(("resnet18", "resnet50"), ("torchvision", "timm"))
    rows = [partial(resnet_row, *net) for net in nets]
    rows += [partial(transformer_row, label) for label in TRANSFORMERS]
    rows += [partial(word2vec_row, is_binary) for is_binary in (False, True)]
    for row in rows:
        with tempfile.TemporaryDirectory() as folder:
            yield row(Path(folder))


MAX_LINES, MAX_LINE = 20_000, 2_000  # of a file; characters
NASTY = [
    *["", " ", "\n", "\r\n", "\t a \n b ", "\n\n  a", "\u3000a\u00a0b", "a\u2028b", "\x00", "\x0b"],
    *["a\x1cb\x85c\x7f", "\ufeffBOM", "\u202eright\u202c", "\u00ad\u200b", "\ufffd\uffff", "_"],
    *["it's IT'S 's't're've'm'll'd don't've", "3.14e-10 1,000,000", "a$b+c<d^e`f|g~h", "x_1__y"],
    *["e\u0301 \u0301 a\u0301\u0302", "Ça vä NAÏVE İSTANBUL ΣΊΣΥΦΟΣ Straße ẞ ﬁn", "Å ≠", "Ё Й"],
    *["½²³Ⅷ①〇", "𝟘𝟙𝒜", "«so»—¿no?…€5", "مُحَمَّد، ١٢٣", "שָׁלוֹם", "हिन्दी। १२", "สวัสดีชาวโลก"],
    *["你好，世界！", "日本語を新しい本a人b", "か\u3099 ｶﾞ", "한국어 \u1112\u1161", "\U00020000x"],
    *["👩‍👩‍👧‍👦 family 🇩🇪", "❤\ufe0f 1\ufe0f\u20e3 👍🏽", "\U0010ffff", "Z\u0351\u036ba\u0363lgo"],
    *["[MASK] a[SEP]b [mask]", "<|endoftext|>a<|endoftext|>", "a <extra_id_0> b</s> c", "▁ a▁b"],
    *["a" * 3000, "ab" * 1500, " " * 500, "\n" * 300, "9" * 500, "ß" * 700, "漢" * 700],
]
# Folder -> their class, and how to learn a vocabulary of that kind.
VOCABULARIES: dict[str, tuple[str, Callable[..., Any]]] = {
    "bert-base-uncased": ("BertTokenizer", WordPiece.train),
    "bert-base-cased": ("BertTokenizer", partial(WordPiece.train, lowercase=False)),
    "gpt2": ("GPT2Tokenizer", ByteBPE.train),
    "t5": ("T5Tokenizer", partial(Unigram.train, num_sentinels=100)),
}
# The words of a text, as tiktoken wants GPT-2's pattern.
GPT2_WORDS = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def read_texts(data_dir: Path | None) -> list[str]:
    texts = list(NASTY)
    if data_dir is None:
        texts += [line for document in read_documentation(100_000) for line in document]
    for path in sorted(data_dir.glob("*/*.*") if data_dir is not None else ()):
        if path.suffix in (".txt", ".tsv", ".cor", ".json") and path.parts[-2] not in VOCABULARIES:
            with open(path, encoding="utf-8", newline="\n") as file:
                for line in islice(file, MAX_LINES):
                    texts += [line[at : at + MAX_LINE] for at in range(0, len(line), MAX_LINE)]
    return [*dict.fromkeys(texts)]


def tokenizer_rows(data_dir: Path | None, work: Path) -> Iterator[Line]:
    import sentencepiece
    import tiktoken
    import tokenizers
    from transformers import AutoTokenizer

    texts = read_texts(data_dir)
    for name, (kind, train) in VOCABULARIES.items():
        if data_dir is not None and (data_dir / name).is_dir():
            settings = {"tokenizer_class": kind, "do_lower_case": name.endswith("uncased")}
            shutil.copytree(data_dir / name, work / name)
            write_text(work / name / "tokenizer_config.json", json.dumps(settings))
        else:
            train(texts, vocab_size=4000).save(work / name, layout="huggingface")
        ours: Any = minift.load_tokenizer(work / name)
        label = {"tokenizer": name, "tokens": len(ours)}
        found = [ours.encode(text) for text in texts]
        theirs = AutoTokenizer.from_pretrained(work / name)
        by = f"transformers {type(theirs).__name__}"
        yield {**label, "reference": by, **differing(texts, found, theirs(texts)["input_ids"])}
        if name == "gpt2":  # from our files, for its own are on the network
            ranks = {ours.decode_bytes([index]): index for index in range(ours.eos_id)}
            special = {"<|endoftext|>": ours.eos_id}
            parts = dict(pat_str=GPT2_WORDS, mergeable_ranks=ranks, special_tokens=special)
            expected = tiktoken.Encoding(name, **parts).encode_batch(texts, allowed_special="all")
            yield {**label, "reference": "tiktoken", **differing(texts, found, expected)}
        if name == "t5":
            model = sentencepiece.SentencePieceProcessor(model_file=f"{work / name}/spiece.model")
            found = [ours.encode(text, special_tokens=False) for text in texts]
            expected = model.encode(texts)
            yield {**label, "reference": "sentencepiece", **differing(texts, found, expected)}

    trained = tokenizers.ByteLevelBPETokenizer()
    trained.train_from_iterator(texts, 8000, special_tokens=["<|endoftext|>"], show_progress=False)
    expected = [tuple(pair) for pair in json.loads(trained.to_str())["model"]["merges"]]
    found = ByteBPE.train(texts, 8000).merges
    merges = [f"{left} {right}" for left, right in found]
    label = {"tokenizer": "learning BPE: merges", "tokens": 8000}
    yield {**label, "reference": "tokenizers", **differing(merges, found, expected)}


def differing(names: Sequence[str], found: Sequence[Any], expected: Sequence[Any]) -> Line:
    """How many are compared, how many differ, and the name of the first of these."""
    rows = [*zip_longest(names, found, expected)]
    wrong = [name for name, one, other in rows if one != other]
    first = ascii(wrong[0])[:60] if wrong else None
    return {"compared": len(rows), "different": len(wrong), "the first that differs": first}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parity", description=__doc__)
    parser.add_argument("--only", choices=("models", "tokenizers"), help="one of the tables")
    parser.add_argument("--data-dir", type=Path, metavar="FOLDER", help="texts and vocabularies")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/parity"), help="folder (default: runs/parity)"
    )
    args = parser.parse_args()
    if args.data_dir is not None and not args.data_dir.is_dir():
        parser.error(f"--data-dir must be a folder, got {args.data_dir}")
    if args.out.is_file():
        parser.error(f"--out must be a folder, got the file {args.out}")
    missing = [package for package in PACKAGES if importlib.util.find_spec(package) is None]
    if missing:
        parser.error(f"needs {', '.join(missing)}; README.md says how to install them (Tests)")
    prepare_torchvision()
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(1)  # more would only wait for each other in models as small as these
    results: dict[str, Any] = {
        "machine": machine(),
        "texts": "documentation" if args.data_dir is None else "of --data-dir",
    }
    tables = [results["machine"]]
    with tempfile.TemporaryDirectory() as work:
        studies = {
            "models": (MODELS, model_rows()),
            "tokenizers": (TOKENIZERS, tokenizer_rows(args.data_dir, Path(work))),
        }
        for name in [args.only] if args.only else studies:
            columns, rows = studies[name]
            results[name], table = [], []
            for row in rows:
                results[name].append(row)
                table.append(cells(columns, row))
                print(*table[-1], sep=" | ", flush=True)
            tables.append(markdown(columns, table))
            # After each table, so that a run that is stopped leaves what it has.
            write(args.out, results, tables)


if __name__ == "__main__":
    main()
