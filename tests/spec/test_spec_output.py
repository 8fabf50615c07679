"""Where a run is written: a folder, or storage that it is copied to."""

from __future__ import annotations

from pathlib import Path

import pytest

from automl.errors import SpecError
from automl.spec import parse_spec


def output_of(text: str) -> str:
    spec = "task: classification\ndata: /images\ntarget: {device: local, latency: 10ms}\n"
    return parse_spec(f"{spec}output: {text}\n", source="a.yaml", base=Path("/specs")).output


@pytest.mark.parametrize(
    "text",
    [
        "runs",
        "/mnt/share/runs",
        "s3://bucket/runs",
        "s3://bucket/runs?endpoint_override=http://minio:9000",
        "gs://bucket",
        "file:///mnt/share/runs",
    ],
)
def test_a_folder_or_storage_that_is_copied_to_is_taken_as_it_is(text: str) -> None:
    assert output_of(text) == text


@pytest.mark.parametrize("text", ["http://host/runs", "s3://", "S3://bucket/runs", "ftp://a/b"])
def test_another_address_is_refused_with_those_that_work(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        output_of(text)
    assert f"a folder, or an address that begins with s3://, gs://, file://; got '{text}'" in str(
        caught.value
    )
