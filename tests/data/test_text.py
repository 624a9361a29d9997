from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from minift.data.text import (
    encode_labels,
    read_csv,
    read_documents,
    read_jsonl,
    read_squad,
    read_tsv,
    split_sentences,
)

REAL = Path(__file__).parents[3] / "shared" / "data"
needs_real_files = pytest.mark.skipif(not REAL.is_dir(), reason="needs the real files")


@pytest.fixture
def write(tmp_path: Path):
    def write_file(content: str, name: str = "data.tsv") -> Path:
        (tmp_path / name).write_text(content, encoding="utf-8")
        return tmp_path / name

    return write_file


# ------------------------------------------------------------------------------ documents


def test_sentences_end_at_a_mark_before_a_space() -> None:
    text = "It costs 3.50 here.  Really?\nYes! no more"
    assert split_sentences(text) == ["It costs 3.50 here.", "Really?", "Yes!", "no more"]


def test_blank_lines_part_documents(write) -> None:
    path = write("One. Two\nlines.\n \nThree.\n\n\n")
    assert read_documents(path) == [["One.", "Two lines."], ["Three."]]


def test_without_blank_lines_each_line_is_a_document(write) -> None:
    assert read_documents(write("One. Two.\nThree\n")) == [["One.", "Two."], ["Three"]]


def test_a_line_without_marks_is_cut_by_length(write) -> None:
    words = [f"w{i}" for i in range(32 * 32 + 40)]
    documents = read_documents(write(" ".join(words)))
    assert [len(document) for document in documents] == [32, 2]
    assert len(documents[0][0].split()) == 32
    assert " ".join(s for document in documents for s in document).split() == words


def test_several_files_follow_each_other(write) -> None:
    paths = [write("One.", "a.txt"), write("Two.", "b.txt")]
    assert read_documents(paths) == [["One."], ["Two."]]


def test_an_empty_corpus_is_refused(write) -> None:
    with pytest.raises(ValueError, match=r"a\.txt must hold some text"):
        read_documents(write(" \n\n", "a.txt"))


def test_other_encodings_are_named(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    with pytest.raises(ValueError, match=r"latin\.txt must be UTF-8, found other bytes at 3"):
        read_documents(tmp_path / "latin.txt")


# -------------------------------------------------------------------------- labelled texts


def test_header_names_are_recognised_sst2(write) -> None:
    data = read_tsv(write("sentence\tlabel\nso good \t1\nbad\t0\n"))
    assert data.texts == ["so good", "bad"]
    assert data.pairs is None
    assert data.labels == ["1", "0"]
    assert data.where[1].endswith("data.tsv:3")


def test_two_columns_without_header_are_text_and_label(write) -> None:
    assert read_tsv(write("so good\t1\nbad\t0")).labels == ["1", "0"]


def test_four_columns_without_header_are_cola(write) -> None:
    data = read_tsv(write("gj04\t1\t\tHe left.\ngj04\t0\t*\tLeft he.\n"))
    assert data.texts == ["He left.", "Left he."]
    assert data.labels == ["1", "0"]


def test_pairs_of_rte_and_mrpc(write) -> None:
    rte = read_tsv(write("index\tsentence1\tsentence2\tlabel\n0\tA b.\tA.\tentailment\n"))
    mrpc = read_tsv(write("\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t7\t8\tA b.\tA.\n"))
    assert rte[:3] == (["A b."], ["A."], ["entailment"])
    assert mrpc[:3] == (["A b."], ["A."], ["1"])


def test_question_and_sentence_are_a_pair_qnli(write) -> None:
    data = read_tsv(write("index\tquestion\tsentence\tlabel\n0\tWho?\tShe.\tentailment\n"))
    assert (data.texts, data.pairs) == (["Who?"], ["She."])


def test_text_b_is_the_second_of_a_pair(write) -> None:
    data = read_tsv(write("text\ttext_b\tlabel\nWho?\tShe.\tyes\n"))
    assert data[:3] == (["Who?"], ["She."], ["yes"])


def test_a_header_of_unknown_names_is_not_read_as_a_class(write) -> None:
    path = write("review\tmood\nwell\tgood\nbadly\tbad\nfine\tgood\nsad\tbad\n")

    with pytest.raises(ValueError, match=r"data\.tsv:1 looks like a header .* 'mood' once; name"):
        read_tsv(path)
    assert read_tsv(path, text="review", label="mood").labels == ["good", "bad", "good", "bad"]


def test_three_columns_without_header_are_a_pair_and_its_label(write) -> None:
    path = write("Who?\tShe.\tyes\nWhat?\tIt.\tno\n")
    assert read_tsv(path)[:3] == (["Who?", "What?"], ["She.", "It."], ["yes", "no"])
    assert read_tsv(path, text=1, label=3).pairs is None  # the second may be anything


def test_quotes_and_unusual_line_ends_are_ordinary_characters(write) -> None:
    content = 'text\tlabel\n"open\t0\nclosed"\t1\r\none\u2028line\x85or\rtwo\t0\n'
    path = write("")
    path.write_bytes(content.encode())
    data = read_tsv(path)
    assert data.texts == ['"open', 'closed"', "one\u2028line\x85or\rtwo"]
    assert data.labels == ["0", "1", "0"]


def test_labels_are_none_where_there_are_none(write) -> None:
    assert read_tsv(write("index\tsentence\n0\tgood\n")).labels == [None]


def test_columns_by_name_and_by_number(write) -> None:
    path = write("id\tbody\tclass\n1\tgood\tpos\n")
    for text, label in (("body", "class"), (2, 3), ("2", "3")):
        data = read_tsv(path, text=text, label=label, has_header=True)
        assert (data.texts, data.labels) == (["good"], ["pos"])
    assert read_tsv(path, text="body").texts == ["good"]
    assert read_tsv(path, text=2, has_header=False).texts == ["body", "good"]


@pytest.mark.parametrize(
    ("content", "columns", "message"),
    [
        ("id\tsentence\n1\tx\n", {"label": "class"}, "'class' for --label-column, found the col"),
        ("id\tsentence\n1\tx\n", {"text": 3}, "no column 3 for --text-column, found the"),
        ("a\tb\tc\td\te\n", {}, "found no header and 5 columns; name it with --text-column"),
        ("a\tb\tc\n", {"text": "body"}, "'body' for --text-column, found no header and 3 columns"),
        ("sentence\tlabel\nx\t1\n\ny\n", {}, r"data\.tsv:4 must have a value in column 2, found 1"),
        ("\n \n", {}, "must hold some rows"),
        ("text\tlabel\n", {}, "must hold some rows below its header, found none"),
    ],
)
def test_wrong_columns_are_named(write, content: str, columns: dict, message: str) -> None:
    with pytest.raises(ValueError, match=rf"data\.tsv.*{message}|{message}"):
        read_tsv(write(content), **columns)


def test_csv_knows_quoting(write) -> None:
    data = read_csv(write('text,label\n"a, ""b""\nc",pos\nd,neg\n', "data.csv"))
    assert data.texts == ['a, "b"\nc', "d"]
    assert data.labels == ["pos", "neg"]
    assert data.where[1].endswith("data.csv:4")


def test_jsonl_takes_keys_as_columns(write) -> None:
    data = read_jsonl(write('{"text": "a", "label": 1}\n{"label": 0, "text": "b"}\n', "d.jsonl"))
    assert data.texts == ["a", "b"]
    assert data.labels == ["1", "0"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"text": "a"}\nno json', r"d\.jsonl:2 must be JSON"),
        ('{"text": "a"}\n["b"]', r"d\.jsonl:2 must be a JSON object"),
        ('{"text": "a", "label": 1}\n{"text": "b"}', r"d\.jsonl:2 must have a value in column 2"),
    ],
)
def test_wrong_jsonl_lines_are_named(write, content: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_jsonl(write(content, "d.jsonl"))


def test_labels_are_numbered_in_order() -> None:
    ids, classes = encode_labels(["pos", "neg", "pos"])
    assert ids.tolist() == [1, 0, 1]
    assert classes == ("neg", "pos")
    assert encode_labels(["10", "9"])[1] == ("9", "10")


def test_labels_of_a_test_set_follow_the_training_classes() -> None:
    assert encode_labels(["b"], classes=["b", "a"])[0].tolist() == [0]


def test_unknown_and_missing_labels_are_named(write) -> None:
    data = read_tsv(write("x\tpos\ny\tpso\n"))
    with pytest.raises(
        ValueError, match=r"data\.tsv:2: label must be one of neg, pos, found 'pso'"
    ):
        encode_labels(data.labels, ["neg", "pos"], data.where)
    with pytest.raises(ValueError, match=r"labels\[1\]: label must be one of a, found None"):
        encode_labels(["a", None])


# ------------------------------------------------------------------------------ questions


def squad(answers: list[dict]) -> str:
    question = {"id": "q1", "question": "Who?", "answers": answers}
    paragraph = {"context": "It was Ada, he said.", "qas": [question]}
    return json.dumps({"data": [{"title": "t", "paragraphs": [paragraph]}]})


def test_squad_answers_stand_where_they_should(write) -> None:
    answers = [{"text": "Ada", "answer_start": 7}, {"text": "Ada,", "answer_start": 7}]
    (example,) = read_squad(write(squad(answers), "s.json"))
    assert example == ("Who?", "It was Ada, he said.", "Ada", 7, ("Ada", "Ada,"))


def test_squad_question_without_answer(write) -> None:
    (example,) = read_squad(write(squad([]), "s.json"))
    assert (example.answer, example.start) == ("", -1)


def test_wrong_squad_files_are_named(write) -> None:
    misplaced = squad([{"text": "Ada", "answer_start": 6}])
    for content, message in (
        (misplaced, "question q1 must have its answer 'Ada' at character 6, found ' Ad'"),
        ('{"paragraphs": []}', "must be SQuAD JSON .*found KeyError 'data'"),
        ("[1]", "must be SQuAD JSON"),
        ("{", "must be JSON"),
    ):
        with pytest.raises(ValueError, match=rf"s\.json.*{message}"):
            read_squad(write(content, "s.json"))


# ------------------------------------------------------------------------ the real files


@needs_real_files
@pytest.mark.parametrize(
    ("name", "num_rows", "labels", "is_pair"),
    [
        ("sst2/train.tsv", 6_920, {"0", "1"}, False),
        ("sst2-glue/dev.tsv", 872, {"0", "1"}, False),
        ("sst2-glue/test.tsv", 1_821, {None}, False),
        ("cola/in_domain_train.tsv", 8_551, {"0", "1"}, False),
        ("cola-glue/test.tsv", 1_063, {None}, False),
        ("rte/train.tsv", 2_490, {"entailment", "not_entailment"}, True),
        ("rte/test.tsv", 3_000, {None}, True),
        ("mrpc/train.tsv", 3_668, {"0", "1"}, True),
        ("mrpc/test.tsv", 1_725, {None}, True),
    ],
)
def test_reads_every_row_of_glue(name: str, num_rows: int, labels: set, is_pair: bool) -> None:
    data = read_tsv(REAL / name)
    assert len(data.texts) == num_rows
    assert set(data.labels) == labels
    assert (data.pairs is not None) == is_pair


@needs_real_files
def test_quoting_would_lose_98_rows_of_mrpc() -> None:
    with (REAL / "mrpc" / "train.tsv").open(encoding="utf-8-sig", newline="") as file:
        num_quoted = sum(1 for _ in csv.DictReader(file, delimiter="\t"))
    assert len(read_tsv(REAL / "mrpc" / "train.tsv").texts) - num_quoted == 98


@needs_real_files
def test_reads_the_real_questions() -> None:
    examples = read_squad(REAL / "squad" / "xquad.en.json")
    assert len(examples) == 1_190
    assert all(e.context[e.start :].startswith(e.answer) for e in examples)


@needs_real_files
@pytest.mark.parametrize(
    ("name", "num_documents"),
    [("lee/lee_background.cor", 300), ("enwiki-text8/enwiki_text8_style.txt", 507)],
)
def test_reads_the_real_corpora(name: str, num_documents: int) -> None:
    assert len(read_documents(REAL / name)) == num_documents
