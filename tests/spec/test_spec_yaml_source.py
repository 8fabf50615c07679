"""YAML text to plain values with places, and what is refused."""

from __future__ import annotations

import pytest

from automl.spec.problems import InvalidDocumentError
from automl.spec.yaml_source import MAX_BYTES, MAX_VALUES, Document, decode, parse_yaml


def read(text: str) -> Document:
    return parse_yaml(text, source="f.yaml", kind="spec")


def refusal(text: str) -> str:
    with pytest.raises(InvalidDocumentError) as caught:
        read(text)
    return str(caught.value)


def test_values_are_resolved_as_yaml_1_2() -> None:
    text = "a: [1, -2, 0.5, 1e-3, .5, no, on, yes, true, False, null, ~, '1', \"x\\ty\", 0x1f, 1_0]"
    assert read(text).root["a"] == [
        1, -2, 0.5, 1e-3, 0.5, "no", "on", "yes", True, False, None, None, "1", "x\ty", "0x1f",
        "1_0",
    ]  # fmt: skip


def test_marks_give_line_and_column_of_keys_and_list_items() -> None:
    document = read("# first\na: 1\nb:\n  c: {d: [x, y]}\n")
    assert document.marks[("a",)] == (2, 1)
    assert document.marks[("b", "c", "d")] == (4, 7)
    assert document.marks[("b", "c", "d", 1)] == (4, 14)


def test_windows_line_ends_and_a_byte_order_mark_are_read() -> None:
    text = decode(b"\xef\xbb\xbfa: 1\r\nb:\r\n  - x\r\n", source="f.yaml")
    document = read(text)
    assert document.root == {"a": 1, "b": ["x"]}
    assert document.marks[("b", 0)] == (3, 5)


def test_locate_skips_what_only_the_long_form_has() -> None:
    document = read("data: ./x\ntarget: {latency: 20ms}\n")
    assert document.locate(("data", "path")) == ("data",)
    assert document.locate(("target", 0, "latency", "p95")) == ("target", "latency")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "f.yaml:1:1: the file is empty. Write a spec into it."),
        ("# only a comment\n", "f.yaml:2:1: the file is empty. Write a spec into it."),
        ("- a\n- b\n", "f.yaml:1:1: a spec is lines of 'key: value'; got a list."),
        (
            "task:classification",
            "f.yaml:1:1: a spec is lines of 'key: value'; got 'task:classification'. "
            "Is a space missing after a colon?",
        ),
        (
            "a: 1\n---\nb: 2\n",
            "f.yaml:2:1: a second document begins. One file holds one spec.",
        ),
        ("a:\n\tb: 1\n", "f.yaml:2:1: a tab cannot indent or separate in YAML. Use spaces."),
        (
            "a: b: c",
            "f.yaml:1:5: not valid YAML: mapping values are not allowed here. "
            "Check indentation, colons, quotes and brackets.",
        ),
        ("? [x]\n: 1", "f.yaml:1:3: a key is text, not a list, a mapping or an alias."),
        (
            "a: 1\nb: \x00",
            "f.yaml:2:4: control character '\\x00'. A spec is plain text: delete it.",
        ),
        ("a: \x1b[31m", "f.yaml:1:4: control character '\\x1b'. A spec is plain text: delete it."),
        ('a: "\\uD800"', "f.yaml:1:4: character '\\ud800' cannot be used. Delete it."),
        ('"a\\0b": 1', "f.yaml:1:1: character '\\x00' cannot be used. Delete it."),
        ("a: " + "[" * 30, "f.yaml:1:24: more than 20 levels deep. Is it a spec?"),
    ],
)
def test_what_is_not_one_plain_mapping_is_refused(text: str, message: str) -> None:
    assert refusal(text) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a: !!python/object/apply:os.system [x]",
            "tag 'tag:yaml.org,2002:python/object/apply:os.system': tags are refused. Delete it.",
        ),
        ("a: !x 1", "tag '!x': tags are refused. Delete it."),
        ("a: ! 1", "tag '!': tags are refused. Delete it."),
        ("a: !!str 1", "tag 'tag:yaml.org,2002:str': tags are refused. Delete it."),
        ("a: &n 1", "anchor '&n': anchors are refused. Delete it."),
        ("a: *n", "alias '*n': write the value out."),
    ],
)
def test_tags_anchors_and_aliases_are_problems(text: str, message: str) -> None:
    document = read(text)
    assert [problem.describe("f.yaml") for problem in document.problems] == [
        f"f.yaml:1:4: a: {message}"
    ]
    assert document.spoilt == {("a",)}


def test_duplicate_keys_name_the_first_line_and_reading_goes_on() -> None:
    document = read("a: 1\nb: 2\na: {c: [1, 2]}\nd: 3\n")
    assert document.root == {"a": 1, "b": 2, "d": 3}
    assert [problem.describe("f.yaml") for problem in document.problems] == [
        "f.yaml:3:1: a: duplicate key, already in line 1. Keep one of the two."
    ]


def test_alias_bomb_is_not_expanded() -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    document = read("\n".join(levels))
    assert len(document.problems) == 12 + 11 * 9


@pytest.mark.parametrize(
    "text",
    [
        "a: [" + "1," * 2 * MAX_VALUES + "]",
        "[" * 900_000,
        "- " * 400_000,
        "a: " + "x" * 900_000,
        "&a" * 400_000,
    ],
    ids=["many values", "deep flow", "deep block", "long text", "long anchor"],
)
def test_huge_input_is_read_or_refused_in_few_words(text: str) -> None:
    outcome = ""
    try:
        read(text)
    except InvalidDocumentError as error:
        outcome = str(error)
    assert len(outcome) < 1000


def test_too_many_bytes_are_refused_before_parsing() -> None:
    message = "f.yaml:1:1: the file is larger than 1,000,000 bytes. Is it a spec?"
    with pytest.raises(InvalidDocumentError) as caught:
        decode(b"a" * (MAX_BYTES + 1), source="f.yaml")
    assert str(caught.value) == message


def test_bytes_that_are_not_utf_8_are_named_with_their_place() -> None:
    with pytest.raises(InvalidDocumentError) as caught:
        decode("a: 1\nb: ü".encode("latin-1"), source="f.yaml")
    expected = "f.yaml:2:4: not UTF-8 text (byte 0xfc). Save the file as UTF-8."
    assert str(caught.value) == expected
