"""Every rule of the spec: what is accepted, and the exact words about what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from automl.records import LatencyBudget, Requirement, Scope, Spec, dump_record, load_record
from automl.spec import InvalidDocumentError, parse_spec

SMALLEST = "task: classification\ndata: ./images\ntarget: {device: local, latency: 20ms}\n"
BASE = Path("/specs")


def parse(text: str) -> Spec:
    return parse_spec(text, source="s.yaml", base=BASE)


def problems(text: str) -> list[str]:
    with pytest.raises(InvalidDocumentError) as caught:
        parse(text)
    return [problem.describe("s.yaml") for problem in caught.value.problems]


def data(lines: str) -> str:
    body = "".join(f"  {line}\n" for line in lines.splitlines())
    return f"task: classification\ntarget: {{latency: 20ms}}\ndata:\n  path: x\n{body}"


def target(lines: str) -> str:
    body = "".join(f"  {line}\n" for line in lines.splitlines())
    return f"task: classification\ndata: x\ntarget:\n{body}"


def test_smallest_spec_gets_every_default() -> None:
    spec = parse(SMALLEST)
    assert (spec.version, spec.name, spec.task) == (1, "s", "classification")
    assert (spec.data.path, spec.data.format, spec.data.classes) == ("/specs/images", "auto", ())
    split = spec.data.split
    assert (split.val, split.test, split.group, split.seed) == (0.15, 0.2, None, 0)
    assert spec.data.cache_bytes == 4 * 10**9
    (only,) = spec.targets
    assert (only.name, only.device, only.threads, only.scope) == ("local", "local", 1, Scope.FRAME)
    assert (only.latency, only.memory_bytes, only.size_bytes) == (
        (LatencyBudget("p95", 20.0),),
        None,
        None,
    )
    assert (spec.objective, spec.requirements) == ("balanced-accuracy", ())
    search = spec.search
    assert (search.space, search.time_s, search.trials, search.seed) == ("quick", 600.0, None, 0)
    assert (search.compute.cpus, search.compute.gpus, search.compute.address) == (None, 0.0, None)
    quantization = spec.quantization
    assert (quantization.schemes, quantization.max_drop) == ((), 0.01)
    assert quantization.calibration_images == 128
    assert (spec.weights, spec.augmentation, spec.output) == ("auto", None, "runs")
    assert (spec.source, spec.text, len(spec.sha256)) == ("s.yaml", SMALLEST, 64)


def test_every_key_of_the_full_form_is_read() -> None:
    spec = parse(
        """
version: 1
name: full
task: classification
data:
  path: /images
  format: csv
  classes: [good, bad]
  split: {val: 10%, test: 0.3, group: "([a-z]+)_", seed: 3}
  cache: 300MiB
targets:
  - {name: a, threads: 2, latency: {p50: 10ms, p99: 1.5 s, scope: file}, memory: 1GB, size: 8MB}
  - {name: b, device: local, latency: 5ms, scope: model}
objective: accuracy
require: {accuracy: 0.9, "recall[bad]": 95%, auroc: "> 0.5", "f1[good]": "<= 99 %"}
search:
  space: ./mine.yaml
  time: 2h
  trials: 7
  seed: 9
  compute: {cpus: 4, gpus: 0.5, address: "auto"}
weights: ./weights.safetensors
quantization: {schemes: [float32], max_drop: 2%, calibration_images: 64}
augmentation: light
output: out
"""
    )
    assert (spec.name, spec.data.path, spec.data.format) == ("full", "/images", "csv")
    assert spec.data.classes == ("good", "bad")
    split = spec.data.split
    assert (split.val, split.test, split.group, split.seed) == (0.1, 0.3, "([a-z]+)_", 3)
    assert spec.data.cache_bytes == 300 * 2**20
    first, second = spec.targets
    assert first.latency == (LatencyBudget("p50", 10.0), LatencyBudget("p99", 1500.0))
    assert (first.scope, first.memory_bytes, first.size_bytes) == (Scope.FILE, 10**9, 8 * 10**6)
    assert (second.name, second.scope, second.threads) == ("b", Scope.MODEL, 1)
    assert spec.requirements == (
        Requirement("accuracy", None, ">=", 0.9),
        Requirement("recall", "bad", ">=", 0.95),
        Requirement("auroc", None, ">", 0.5),
        Requirement("f1", "good", "<=", 0.99),
    )
    assert (spec.search.space, spec.search.time_s) == ("/specs/mine.yaml", 7200.0)
    assert (spec.search.compute.cpus, spec.search.compute.gpus) == (4, 0.5)
    assert spec.weights == "/specs/weights.safetensors"
    assert (spec.quantization.schemes, spec.quantization.max_drop) == (("float32",), 0.02)
    assert load_record(Spec, dump_record(spec)) == spec


def test_short_forms_mean_the_same_as_long_ones() -> None:
    short = parse(SMALLEST + "quantization: [float32, int8-static]\n")
    long = parse(
        "task: classification\ndata: {path: ./images}\n"
        "targets: [{device: local, latency: {p95: 20ms}}]\n"
        "quantization: {schemes: [float32, int8-static]}\n"
    )
    assert (short.data, short.targets, short.quantization) == (
        long.data,
        long.targets,
        long.quantization,
    )


@pytest.mark.parametrize("name", ["a[1]", "ünïcode", "a.b c", "]", "yes", "'quoted'"])
def test_class_names_in_requirements_may_hold_any_characters(name: str) -> None:
    key = f"recall[{name}]".replace("'", "''")
    spec = parse(f"{SMALLEST}require: {{'{key}': 0.5}}\n")
    assert spec.requirements[0].class_name == name


def test_latency_limits_carry_no_binary_noise() -> None:
    spec = parse(target("latency: 20.1ms"))
    assert spec.targets[0].latency[0].limit_ms == 20.1


def test_all_problems_are_reported_at_once_sorted_by_line() -> None:
    text = """\
task: clasification
data:
  path: ./x
  split: {val: 0.5, test: 60%}
  split: {}
target: &anchor
  device: locl
  latency: 20
  scope: !tag frame
latency: 20ms
search:
  tme: 5min
  trials: "3"
require: {recall: 0.9, accuracy: 95}
weights: ato
quantization: [int8_static]
"""
    assert problems(text) == [
        "s.yaml:1:1: task: unknown task 'clasification'. Did you mean 'classification'?",
        "s.yaml:4:3: data.split: 'val' and 'test' together must be less than 1; got 0.5 + 0.6.",
        "s.yaml:5:3: data.split: duplicate key, already in line 4. Keep one of the two.",
        "s.yaml:6:9: target: anchor '&anchor': anchors are refused. Delete it.",
        "s.yaml:9:10: target.scope: tag '!tag': tags are refused. Delete it.",
        "s.yaml:10:1: latency: unknown key. It belongs under 'target'.",
        "s.yaml:12:3: search.tme: unknown key. Did you mean 'time'?",
        "s.yaml:13:3: search.trials: a whole number from 1 to 100,000; got '3'.",
        "s.yaml:14:11: require.recall: 'recall' is counted per class. "
        "Write 'recall[CLASS]' or 'recall-macro'.",
        "s.yaml:14:24: require.accuracy: a bound is a number such as 0.95, 95% or '>= 0.95', "
        "between 0 and 1 (0% and 100%); got 95.",
        "s.yaml:15:1: weights: unknown source 'ato'. Did you mean 'auto'? "
        "A path begins with './' or '/'.",
        "s.yaml:16:1: quantization: unknown scheme 'int8_static'. Did you mean 'int8-static'?",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "data: x\ntarget: {latency: 20ms}",
            "1:1: task: is missing. Add it, for example 'task: classification'.",
        ),
        (
            "task: classification\ntarget: {latency: 20ms}",
            "1:1: data: is missing. Add it, for example 'data: ./images'. To plan before there are "
            "images, add 'classes: 10' and 'image_size: 640x480' instead.",
        ),
        (
            "task: classification\ndata: x",
            "1:1: target: is missing. Add it, for example "
            "'target: {device: local, latency: 20ms}'.",
        ),
        (
            "task: classification\ndata: x\ntarget:",
            "3:1: target: names no device. Write for example "
            "'target: {device: local, latency: 20ms}'.",
        ),
        (
            "task: classification\ndata: x\ntargets: []",
            "3:1: targets: names no device. Write for example "
            "'target: {device: local, latency: 20ms}'.",
        ),
        (
            SMALLEST + "targets: [{latency: 5ms}]",
            "4:1: targets: give 'target' or 'targets', not both. "
            "Move all into 'targets', as a list.",
        ),
        (
            "task: classification\ndata: x\ntargets: [{latency: 5ms}, {latency: 6ms}]",
            "3:27: targets[1]: two targets are called 'local'. Give each its own 'name'.",
        ),
        (
            "task: classification\ndata: x\n"
            "targets: [{name: A, latency: 5ms}, {name: a, latency: 6ms}]",
            "3:37: targets[1].name: two targets are called 'a'. Give each its own 'name'.",
        ),
        (SMALLEST + "version: 2", "4:1: version: must be 1; got 2."),
        (
            SMALLEST + "name: a/b",
            "4:1: name: a name is used for folders: up to 64 letters, digits, '-', '_' and '.', "
            "no spaces; got 'a/b'.",
        ),
        (
            SMALLEST + "name: ..",
            "4:1: name: a name is used for folders: up to 64 letters, digits, '-', '_' and '.', "
            "no spaces; got '..'.",
        ),
        (SMALLEST + "name: 7", "4:1: name: must be text; got 7. Put it in quotes."),
        (
            SMALLEST + "objective: balanced_accuracy",
            "4:1: objective: unknown metric 'balanced_accuracy'. Did you mean 'balanced-accuracy'?",
        ),
        (
            SMALLEST + "search:",
            "4:1: search: must be a section of 'key: value' pairs; got nothing. "
            "Give it a value or delete the key.",
        ),
        (
            SMALLEST + "search: {space: quik}",
            "4:10: search.space: unknown search space 'quik'. Did you mean 'quick'? "
            "A path ends with '.yaml'.",
        ),
        (
            SMALLEST + "search: {time: 10}",
            "4:10: search.time: a duration is a number and a unit, such as 10min; got 10.",
        ),
        (
            SMALLEST + "search: {time: 10 parsecs}",
            "4:10: search.time: unknown unit 'parsecs' in '10 parsecs'; "
            "known: us, µs, ms, s, min, h, d.",
        ),
        (
            SMALLEST + "search: {time: 9999999h}",
            "4:10: search.time: a duration of '9999999h' is beyond reason. Write a smaller one.",
        ),
        (
            SMALLEST + "search: {compute: {gpus: -1}}",
            "4:20: search.compute.gpus: a number from 0 to 10000; got -1.",
        ),
        (
            SMALLEST + "quantization: [float32, float32]",
            "4:1: quantization: 'schemes' lists 'float32' twice. Delete one.",
        ),
        (
            SMALLEST + "quantization: {max_drop: 5}",
            "4:16: quantization.max_drop: a share lies between 0 and 1 (0% and 100%); got 5.",
        ),
        (
            SMALLEST + "require: {acuracy: 0.9}",
            "4:11: require.acuracy: unknown metric of classification. Did you mean 'accuracy'?",
        ),
        (
            SMALLEST + "require: {'accuracy[x]': 0.9}",
            "4:11: require.accuracy[x]: 'accuracy' is not counted per class. "
            "Per class there are recall[CLASS], precision[CLASS], f1[CLASS].",
        ),
        (
            SMALLEST + "require: {accuracy: '> 1'}",
            "4:11: require.accuracy: metrics lie within 0 to 1, so it cannot be met; got '> 1'.",
        ),
        (
            SMALLEST + "require: {accuracy: high}",
            "4:11: require.accuracy: a bound is a number such as 0.95, 95% or '>= 0.95'; "
            "got 'high'.",
        ),
        (
            SMALLEST + "output: ftp://host/x",
            "4:1: output: a folder, or an address that begins with s3://, gs://, file://; got 'ftp://host/x'.",
        ),
        (SMALLEST + "output: ''", "4:1: output: must not be empty."),
    ],
)
def test_each_mistake_has_its_place_rule_and_remedy(text: str, expected: str) -> None:
    assert problems(text) == [f"s.yaml:{expected}"]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("clases: [a, b]", "5:3: data.clases: unknown key. Did you mean 'classes'?"),
        (
            "classes: []",
            "3:1: data: 'classes' is empty. List the classes, or delete the key to use all.",
        ),
        (
            "classes: [a]",
            "5:3: data.classes: classification needs two classes or more; got 'a' alone.",
        ),
        ("classes: [a, a]", "3:1: data: 'classes' lists 'a' twice. Delete one."),
        ("classes: [0, b]", "5:13: data.classes[0]: must be text; got 0. Put it in quotes."),
        ("classes: a", "5:3: data.classes: must be a list; got 'a'."),
        ("format: foldr", "5:3: data.format: unknown format 'foldr'. Did you mean 'folder'?"),
        (
            "cache: 4",
            "5:3: data.cache: a size is a number and a unit, such as 8MB or 300MiB; got 4.",
        ),
        (
            "split: {val: 0}",
            "5:3: data.split: 'val' and 'test' must both be more than 0: each part needs images.",
        ),
        (
            "split: {val: lots}",
            "5:11: data.split.val: a share is a number such as 0.15 or 15%; got 'lots'.",
        ),
        (
            "split: {group: '[a-z]+_'}",
            "5:11: data.split.group: has no group in parentheses; got '[a-z]+_'. "
            "Put parentheses around what names the group, as in '([^/]+)_[0-9]+'.",
        ),
        (
            "split: {group: '(a'}",
            "5:11: data.split.group: not a regular expression (missing ), unterminated subpattern "
            "at position 0); got '(a'.",
        ),
        (
            f"split: {{group: '({'a' * 600})'}}",
            "5:11: data.split.group: at most 500 characters; got 602.",
        ),
        (
            "split: {seed: -1}",
            "5:11: data.split.seed: a whole number from 0 to 4,294,967,295; got -1.",
        ),
    ],
)
def test_data_mistakes(lines: str, expected: str) -> None:
    assert problems(data(lines)) == [f"s.yaml:{expected}"]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            "device: local",
            "3:1: target.latency: is missing. Add it, for example 'latency: 20ms'.",
        ),
        (
            "latency: 20",
            "4:3: target.latency: a duration is a number and a unit, such as 20ms; got 20.",
        ),
        ("latency: 0ms", "4:3: target.latency: a duration must be more than zero; got '0ms'."),
        (
            "latency: {}",
            "4:3: target.latency: no limit is given. Write one, such as 'p95: 20ms'.",
        ),
        (
            "latency: {p50: 30ms, p95: 20ms}",
            "4:3: target.latency: p50 cannot be more than p95; got p50 30.0 ms and p95 20.0 ms.",
        ),
        (
            "latency: {p95: 20ms, p98: 1s}",
            "4:24: target.latency.p98: unknown key. Did you mean 'p99'?",
        ),
        (
            "latency: {p95: 20ms, scope: file}\nscope: frame",
            "3:1: target: 'scope' is given here and in 'latency', differently: 'frame' and 'file'.",
        ),
        (
            "latency: 2ms\nthreads: 4096",
            "5:3: target.threads: a whole number from 1 to 1,024; got 4096.",
        ),
        (
            "latency: 2ms\nthreads: true",
            "5:3: target.threads: a whole number from 1 to 1,024; got true.",
        ),
        (
            "latency: 2ms\ndevice: https://192.0.2.1:8000",
            "5:3: target.device: the address of an agent is http://HOST:PORT, as 'automl agent' prints "
            "it; got 'https://192.0.2.1:8000'.",
        ),
        (
            "latency: 2ms\ndevice: Raspberry Pi",
            "5:3: target.device: a device is 'local', a name that 'automl devices' lists, the path of "
            "a device's YAML file, or the address of an agent (http://HOST:PORT); got 'Raspberry Pi'.",
        ),
        (
            "latency: 2ms\nsize: 8 MG",
            "5:3: target.size: unknown unit 'MG' in '8 MG'; "
            "known: b, kb, mb, gb, tb, kib, mib, gib, tib.",
        ),
        (
            f"latency: {'9' * 400}ms",
            f"4:3: target.latency: a duration is a number and a unit, such as 20ms; got "
            f"'{'9' * 60}…'.",
        ),
    ],
)
def test_target_mistakes(lines: str, expected: str) -> None:
    assert problems(target(lines)) == [f"s.yaml:{expected}"]


def test_required_class_must_be_one_of_the_listed() -> None:
    text = data("classes: [pass, fail]") + "require: {'recall[fial]': 0.9}\n"
    assert problems(text) == [
        "s.yaml:6:11: require.recall[fial]: 'fial' is not one of 'data.classes'. "
        "Did you mean 'fail'?"
    ]


def test_control_characters_of_the_file_never_reach_the_terminal() -> None:
    text = SMALLEST + 'name: "\\e[31mred"\n"\\e[2J": 1\n'
    for line in problems(text):
        assert line.isprintable(), line


def test_spec_names_itself_after_its_file_or_its_data() -> None:
    assert parse_spec(SMALLEST, source="/a/My spec (1).yaml", base=BASE).name == "My-spec-1"
    assert parse_spec(SMALLEST, source="<request>", base=BASE).name == "images"
