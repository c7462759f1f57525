"""Dockerfile, rayjob.yaml, sky.yaml and slurm.sbatch: what can be checked of them without a cluster."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.machines.own_folder import ROOM
from cluster.machines.session import HEAD, LOCKED, PROMISED_GPUS, SLURM_NODES

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
LOCK = (ROOT / "requirements.lock").read_text()


@pytest.fixture
def ray_job() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "rayjob.yaml").read_text())


def groups(ray_job: dict[str, Any]) -> list[dict[str, Any]]:
    spec = ray_job["spec"]["rayClusterSpec"]
    return [spec["headGroupSpec"], *spec["workerGroupSpecs"]]


def containers(ray_job: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for group in groups(ray_job) for one in group["template"]["spec"]["containers"]]


def test_the_ray_job_has_the_shape_that_kuberay_asks_for(ray_job: dict[str, Any]) -> None:
    assert (ray_job["apiVersion"], ray_job["kind"]) == ("ray.io/v1", "RayJob")
    known = {"entrypoint", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "rayClusterSpec"}
    assert ray_job["spec"].keys() == known
    cluster = ray_job["spec"]["rayClusterSpec"]
    assert cluster.keys() == {"rayVersion", "authOptions", "headGroupSpec", "workerGroupSpecs"}
    for group in groups(ray_job):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
    for worker in cluster["workerGroupSpecs"]:
        assert worker.keys() == {*("groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template")}
        assert worker["minReplicas"] <= worker["replicas"] <= worker["maxReplicas"]
    for one in containers(ray_job):
        assert one["resources"]["limits"] == one["resources"]["requests"]


def test_what_kubernetes_reads_of_the_ray_job_has_the_types_that_it_asks_for(ray_job: dict[str, Any]) -> None:
    """An API server refuses a variable whose value is a number, and ignores a field that it does not know."""
    for group in groups(ray_job):
        assert group["template"].keys() == {"spec"} and group["template"]["spec"].keys() == {"containers"}
    for one in containers(ray_job):
        assert one.keys() - {"ports"} == {"name", "image", "env", "envFrom", "resources"}
        assert all(each.keys() == {"name", "value"} and isinstance(each["value"], str) for each in one["env"])
        assert all(each.keys() == {"secretRef"} and each["secretRef"].keys() == {"name"} for each in one["envFrom"])
        assert all(isinstance(each["containerPort"], int) for each in one.get("ports", ()))
        names = [one["name"], ray_job["metadata"]["name"], *(each["name"] for each in one.get("ports", ()))]
        assert all(re.fullmatch("[a-z0-9]([a-z0-9-]*[a-z0-9])?", name) for name in names)
        for amount in one["resources"]["limits"].values():
            assert isinstance(amount, str) and re.fullmatch(r"\d+(Ki|Mi|Gi)?", amount)


def test_the_ray_job_runs_the_locked_ray_asks_for_a_token_and_computes_on_workers(ray_job: dict[str, Any]) -> None:
    cluster = ray_job["spec"]["rayClusterSpec"]
    assert f"\nray=={cluster['rayVersion']} " in LOCK
    assert cluster["authOptions"] == {"mode": "token"}
    start = cluster["headGroupSpec"]["rayStartParams"]
    assert (start["num-cpus"], start["num-gpus"]) == ("0", "0") and HEAD in start["resources"]
    for one in containers(ray_job):
        variables = {each["name"]: each["value"] for each in one["env"]}
        assert {**variables, **{name: value for name, value in LOCKED.items() if name != "RAY_AUTH_MODE"}} == variables
        gpus = sum(
            group["maxReplicas"] * int(each["resources"]["limits"]["nvidia.com/gpu"])
            for group in cluster["workerGroupSpecs"]
            for each in group["template"]["spec"]["containers"]
        )
        assert variables[PROMISED_GPUS] == str(gpus)


@pytest.mark.parametrize("name", ["rayjob.yaml", "sky.yaml", "slurm.sbatch", "Dockerfile"])
def test_every_job_that_a_file_names_is_there(name: str) -> None:
    named = re.findall(r"jobs/\w+\.py", (ROOT / name).read_text())
    assert named and all((ROOT / one).is_file() for one in named)


def test_the_machine_of_a_cloud_is_one_and_its_results_are_in_a_bucket() -> None:
    task = yaml.safe_load((ROOT / "sky.yaml").read_text())
    assert task.keys() == {"name", "num_nodes", "workdir", "resources", "envs", "setup", "run"}
    assert task["num_nodes"] == 1 and task["envs"]["AMAN_STORE"].startswith("s3://")
    assert re.search(r"^env:", (ROOT / "Makefile").read_text(), re.MULTILINE) and task["setup"] == "make env"


def test_the_image_has_every_package_of_the_project_and_nothing_that_is_ignored() -> None:
    copied = set(re.findall(r"^COPY --chown=ray:ray (.+) \S+$", DOCKERFILE, re.MULTILINE))
    words = {word for line in copied for word in line.split()}
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored and {f"!{word}" for word in words} <= set(ignored)
    assert {"aman", "cluster", "jobs", "tune_spaces"} <= words and all((ROOT / word).exists() for word in words)


def test_the_image_without_gpus_has_all_locked_packages_but_those_of_cuda(tmp_path: Path) -> None:
    """The two commands of the Dockerfile that split requirements.lock, run on it."""
    torch = re.search(r"grep -oE '(.+)' requirements\.lock", DOCKERFILE)
    rest = re.search(r"awk '(.+)' requirements\.lock", DOCKERFILE)
    assert torch and rest
    (tmp_path / "requirements.lock").write_text(LOCK)

    def said(*words: str) -> str:
        return subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    first = said("grep", "-oE", torch[1], "requirements.lock").split()
    second = set(re.findall(r"^([a-z0-9][\w.-]*)", said("awk", rest[1], "requirements.lock"), re.MULTILINE))
    every = set(re.findall(r"^([a-z0-9][\w.-]*)", LOCK, re.MULTILINE))
    assert [one.split("==")[0] for one in first] == ["torch", "torchvision"]
    gone = every - second - {"torch", "torchvision"}
    assert gone and all(name == "triton" or name.startswith(("nvidia-", "cuda-")) for name in gone)
    assert {"ray", "numpy", "mlflow"} <= second and not any("nvidia" in name for name in second)


def test_the_batch_script_is_sound_shell_and_asks_for_the_signal_and_the_requeue() -> None:
    text = (ROOT / "slurm.sbatch").read_text()
    subprocess.run(["bash", "-n", str(ROOT / "slurm.sbatch")], check=True)
    assert {"--signal=B:TERM@120", "--requeue"} <= set(re.findall(r"^#SBATCH (\S+)", text, re.MULTILINE))
    for name, value in LOCKED.items():
        assert f"{name}={value}" in text
    assert SLURM_NODES in text and "cluster.machines.cpus" in text
    assert f"-gt {ROOM} ]" in text and len(f"/tmp/aman-{10**8}") <= ROOM


@pytest.mark.parametrize(
    ("variables", "words", "why"),
    [
        ({}, ["python"], "got no SLURM job"),
        ({"SLURM_JOB_NUM_NODES": "1"}, [], "without a command"),
        (
            {**dict.fromkeys(("SLURM_JOB_NUM_NODES", "SLURM_JOB_ID"), "1"), "AMAN_SCRATCH": "/a/longer/way/down"},
            ["python"],
            "expected at most 23 letters",
        ),
    ],
)
def test_the_batch_script_refuses_what_it_cannot_run(variables: dict[str, str], words: list[str], why: str) -> None:
    script = str(ROOT / "slurm.sbatch")
    done = subprocess.run(
        ["bash", script, *words],
        env={"PATH": "/usr/bin:/bin", "SLURM_SUBMIT_DIR": "/", **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode and why in done.stderr
