"""What ships for clusters is what they take: a manifest by the rules of its kind, a script without traps."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from automl.cli.batch import batch

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
TEXT: dict[str, Any] = {"type": "string", "minLength": 1}
TEXTS: dict[str, Any] = {"type": "object", "additionalProperties": {"type": "string"}}


def record(required: tuple[str, ...] = (), **properties: object) -> dict[str, Any]:
    """Return the schema of an object that has no other keys than these."""
    return {
        "type": "object",
        "required": list(required),
        "properties": properties,
        "additionalProperties": False,
    }


def every(item: object) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "items": item}


# The parts of ray.io/v1 and of a pod that are used here, after the references of KubeRay 1.6 and of
# Kubernetes 1.33. Quantities and ports are bounded as the API server bounds them.
QUANTITY = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(m|Ki|Mi|Gi|Ti|k|M|G|T)?$"}
QUANTITIES = {"type": "object", "additionalProperties": QUANTITY}
CONTAINER = record(
    ("name", "image"),
    name={"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63},
    image=TEXT,
    resources=record(requests=QUANTITIES, limits=QUANTITIES),
    ports=every(
        record(
            ("containerPort",),
            containerPort={"type": "integer", "minimum": 1, "maximum": 65535},
            name={"type": "string", "pattern": "^[a-z0-9-]*[a-z][a-z0-9-]*$", "maxLength": 15},
        )
    ),
    env=every(record(("name",), name=TEXT, value={"type": "string"})),
    volumeMounts=every(
        record(("name", "mountPath"), name=TEXT, mountPath=TEXT, readOnly={"type": "boolean"})
    ),
)
VOLUME = record(
    ("name",),
    name=TEXT,
    persistentVolumeClaim=record(("claimName",), claimName=TEXT),
    configMap=record(("name",), name=TEXT),
)
POD = record(
    ("spec",),
    spec=record(
        ("containers",),
        containers=every(CONTAINER),
        volumes=every(VOLUME),
        terminationGracePeriodSeconds={"type": "integer", "minimum": 0},
    ),
)
COUNT = {"type": "integer", "minimum": 0}
RAYJOB = record(
    ("apiVersion", "kind", "metadata", "spec"),
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata=record(generateName={"type": "string", "pattern": "^[a-z0-9-]+$", "maxLength": 47}),
    spec=record(
        ("entrypoint", "rayClusterSpec"),
        entrypoint=TEXT,
        submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
        backoffLimit=COUNT,
        activeDeadlineSeconds=COUNT,
        shutdownAfterJobFinishes={"type": "boolean"},
        ttlSecondsAfterFinished=COUNT,
        rayClusterSpec=record(
            ("headGroupSpec",),
            rayVersion=TEXT,
            enableInTreeAutoscaling={"type": "boolean"},
            authOptions=record(mode={"enum": ["disabled", "token"]}),
            headGroupSpec=record(("template",), rayStartParams=TEXTS, template=POD),
            workerGroupSpecs=every(
                record(
                    ("groupName", "minReplicas", "maxReplicas", "template"),
                    groupName=TEXT,
                    replicas=COUNT,
                    minReplicas=COUNT,
                    maxReplicas=COUNT,
                    rayStartParams=TEXTS,
                    template=POD,
                )
            ),
        ),
    ),
)


def manifest() -> Any:
    return YAML(typ="safe").load(DEPLOY / "rayjob.yaml")


def problems(document: Any) -> list[str]:
    validator = jsonschema.Draft202012Validator(RAYJOB)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]


def test_the_manifest_has_the_keys_of_a_ray_job() -> None:
    assert problems(manifest()) == []


def test_a_manifest_with_a_mistake_would_be_seen() -> None:
    document = manifest()
    document["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["minReplica"] = 1
    document["spec"]["shutdownAfterJobFinishes"] = "yes"
    assert len(problems(document)) == 2


def test_the_head_trains_nothing_and_has_whole_cores_of_its_own() -> None:
    head = manifest()["spec"]["rayClusterSpec"]["headGroupSpec"]
    assert head["rayStartParams"]["num-cpus"] == "0"
    resources = head["template"]["spec"]["containers"][0]["resources"]
    assert resources["requests"] == resources["limits"]
    assert float(resources["limits"]["cpu"]).is_integer()


def test_all_pods_share_storage_and_cache_and_ask_for_a_token() -> None:
    cluster = manifest()["spec"]["rayClusterSpec"]
    assert cluster["authOptions"]["mode"] == "token"
    pods = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for pod in (pod["template"]["spec"] for pod in pods):
        (container,) = pod["containers"]
        assert {"name": "AUTOML_CACHE", "value": "/shared/cache"} in container["env"]
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_commands_that_are_started_are_commands_of_the_program() -> None:
    words = shlex.split(manifest()["spec"]["entrypoint"])
    assert words[:2] == ["automl", "batch"]
    known = CliRunner().invoke(batch, ["--help"]).output
    script = (DEPLOY / "slurm.sh").read_text()
    options = {word for word in words if word.startswith("--")}
    options |= set(re.findall(r"(?<=arguments)\+?=\(.*?(--[a-z]+)", script))
    assert options >= {"--output", "--address", "--until"}
    assert all(option in known for option in options)


def test_bash_reads_the_script() -> None:
    ended = subprocess.run(
        ["bash", "-n", DEPLOY / "slurm.sh"], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_finds_no_trap_in_the_script() -> None:
    ended = subprocess.run(
        ["shellcheck", DEPLOY / "slurm.sh"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout
