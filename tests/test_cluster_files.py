"""The cluster file and its policies, tried on Ray's own code, an EC2 mock and an S3 server that obeys policies.

`ray up` runs whole, with recording stand-ins in place of ssh and rsync: without them it would call strangers.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import tomllib
import warnings
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from seaweed import LOOPBACK, Server, free_ports

from aman.errors import UserError

ROOT = Path(__file__).parents[1]
FILES = sorted(ROOT.glob("ray_*.yaml"))
AWS = ROOT / "ray_cluster.yaml"
TOKEN = "5ec2e7" * 8
"""What must be in no command."""

STAND_IN = r"""#!/bin/sh
for argument; do
    case $argument in *ray-bootstrap-*) [ ! -f "$argument" ] || cp "$argument" "$RECORD/bootstrap.json" ;; esac
done
printf '%s\0' "${0##*/}" "$@" >> "$RECORD/commands"
printf '\n\0' >> "$RECORD/commands"
"""
"""Writes its name and its arguments down, each with a zero at its end, and a line's end at the end of all."""


@lru_cache
def boto_session() -> Any:
    """One session for all clients of these tests: it reads the descriptions of AWS's services once."""
    import boto3

    return boto3.session.Session()


def load(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    return content


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_rays_own_schema_accepts_the_file(path: Path) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(load(path)))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
@pytest.mark.parametrize(
    "wrong", [{"idle_timeout": 5}, {"provider": {}}, {"max_workers": "many"}, {"auth": {"user": "me"}}], ids=str
)
def test_rays_own_schema_refuses_what_is_wrong(path: Path, wrong: dict[str, Any]) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    with pytest.raises(Exception, match=f"{next(iter(wrong))}|type|not supported between"):
        validate_config(prepare_config({**load(path), **wrong}))


def test_all_that_an_installation_needs_is_synced() -> None:
    mounts = {
        Path(there).relative_to("~/aman"): here
        for there, here in load(AWS)["file_mounts"].items()
        if "~/aman/" in there
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = {name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    needed |= {"pyproject.toml", "requirements.lock", project["project"]["readme"]}
    assert needed <= {str(there) for there in mounts}
    assert all((ROOT / here).exists() and str(there) == here for there, here in mounts.items())


@dataclass(frozen=True, kw_only=True)
class Mock:
    """An EC2 mock, the cluster file filled in for it, and how to run `ray up` against it."""

    folder: Path
    file: Path
    environment: dict[str, str]

    def ray_up(self, file: Path) -> tuple[int, str]:
        """Run `ray up` in this process, with the mock's environment: its exit code and what it said."""
        from ray.autoscaler._private.aws import node_provider
        from ray.scripts.scripts import cli

        def of_the_file(region: str, aws_credentials: dict[str, Any] | None = None) -> list[dict[str, Any]]:
            """Ray asks for all eight hundred types that there are."""
            types = [one["node_config"]["InstanceType"] for one in load(file)["available_node_types"].values()]
            return list(self.client("ec2").describe_instance_types(InstanceTypes=sorted({*types}))["InstanceTypes"])

        code, said = 0, self.folder / "said"
        with said.open("w") as file_of_ray, pytest.MonkeyPatch.context() as patch:
            for name in os.environ.keys() - self.environment.keys():
                patch.delenv(name)
            for name, value in self.environment.items():
                patch.setenv(name, value)
            for program in ("ssh", "rsync"):
                assert Path(shutil.which(program) or "").parent == self.folder / "bin"
            patch.chdir(ROOT)
            patch.setattr(node_provider, "list_ec2_instances", of_the_file)
            with redirect_stdout(file_of_ray), redirect_stderr(file_of_ray), warnings.catch_warnings(action="ignore"):
                try:
                    cli.main(["up", str(file), "--no-config-cache", "-y"], standalone_mode=False)
                except Exception as error:
                    code = 1
                    file_of_ray.write(f"{error}\n")
        return code, said.read_text()

    def commands(self) -> list[list[str]]:
        """What the stand-ins wrote down."""
        written = (self.folder / "record" / "commands").read_text()
        return [one.split("\0")[:-1] for one in written.split("\n\0")[:-1]]

    def client(self, service: Literal["ec2", "iam"]) -> Any:
        return boto_session().client(
            service,
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            region_name="us-east-1",
            aws_access_key_id="mock",
            aws_secret_access_key="mock",
        )

    def instances(self) -> list[dict[str, Any]]:
        found = self.client("ec2").describe_instances()["Reservations"]
        return [instance for one in found for instance in one["Instances"]]


@pytest.fixture(scope="module")
def mock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mock]:
    """moto's server with a network, roles and profiles in it."""
    folder, port = tmp_path_factory.mktemp("aws"), free_ports(1)[0]
    for name in ("bin", "record", ".ssh", ".ray"):
        (folder / name).mkdir()
    for name in ("ssh", "rsync"):
        (folder / "bin" / name).write_text(STAND_IN)
        (folder / "bin" / name).chmod(0o755)
    (folder / ".ssh" / "aman.pem").write_text("a key\n")
    (folder / ".ray" / "auth_token").write_text(TOKEN)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RAY_"))},
        "AWS_ENDPOINT_URL": f"http://{LOOPBACK}:{port}",
        "AWS_ACCESS_KEY_ID": "mock",
        "AWS_SECRET_ACCESS_KEY": "mock",
        "HOME": str(folder),
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RECORD": str(folder / "record"),
    }
    pdeathsig = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
    server = subprocess.Popen(
        [*pdeathsig, str(Path(sys.executable).with_name("moto_server")), "-H", LOOPBACK, "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    filled = Mock(folder=folder, file=folder / "ray_cluster.yaml", environment=environment)
    try:
        filled.file.write_text(fill_in(filled))
        yield filled
    finally:
        server.kill()
        server.wait()


def fill_in(mock: Mock) -> str:
    """Make what the file names, and put its names in."""
    from botocore.exceptions import ConnectionError as NotYet

    ec2, iam, end = mock.client("ec2"), mock.client("iam"), time.monotonic() + 30
    while True:
        try:
            network = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
            break
        except NotYet:
            assert time.monotonic() < end
            time.sleep(0.2)
    subnet = ec2.create_subnet(VpcId=network, CidrBlock="10.0.0.0/20")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName="aman", Description="aman", VpcId=network)["GroupId"]
    ec2.create_key_pair(KeyName="aman")
    for name in ("head", "worker", "trainer"):
        iam.create_instance_profile(InstanceProfileName=f"aman-{name}")
    text = AWS.read_text()
    for place, value in (
        ("ami-FILL-ME-IN", "ami-12c6146b"),
        ("subnet-FILL-ME-IN", subnet),
        ("sg-FILL-ME-IN", group),
        ("fs-FILL-ME-IN", "fs-0123"),
        ("BUCKET=FILL-ME-IN", "BUCKET=a-bucket"),
    ):
        assert text.count(place) == 1, place
        text = text.replace(place, value)
    return text


@pytest.fixture(scope="module")
def up(mock: Mock) -> list[list[str]]:
    """Every ssh and rsync that `ray up` called."""
    code, said = mock.ray_up(mock.file)
    assert code == 0, said
    assert TOKEN not in said
    return mock.commands()


@pytest.fixture(scope="module")
def scripts(up: list[list[str]]) -> list[str]:
    """What the head is told to do, in order."""
    return [shlex.split(one[-1])[0] for one in up if one[0] == "ssh" and "bash" in one]


def test_no_placeholder_is_left_out_of_the_block_at_the_top(mock: Mock) -> None:
    text = mock.file.read_text()
    assert "FILL" not in re.sub("#.*", "", text)


def test_a_file_with_placeholders_launches_nothing_and_says_which(mock: Mock) -> None:
    text = AWS.read_text()
    untouched = mock.folder / "untouched.yaml"
    untouched.write_text(text)
    before = len(mock.instances())
    code, said = mock.ray_up(untouched)
    assert code != 0
    assert "security group" in said
    assert len(mock.instances()) == before


def test_the_head_is_small_on_demand_private_and_has_its_profile(mock: Mock, up: list[list[str]]) -> None:
    assert up
    (head,) = [one for one in mock.instances() if {"Key": "ray-node-type", "Value": "head"} in one["Tags"]]
    assert head["InstanceType"] == "m6i.large" and "InstanceLifecycle" not in head
    assert head["IamInstanceProfile"]["Arn"].endswith("/aman-head")
    assert not head.get("PublicIpAddress")
    assert head["KeyName"] == "aman"
    assert load(mock.file)["available_node_types"]["head"]["resources"]["CPU"] == 0
    # By its id, through the endpoint into the private subnet: it has no address that a laptop could call.
    for one in up:
        assert any(f"ubuntu@{head['InstanceId']}" in argument for argument in one), one
        assert any("ProxyCommand=aws ec2-instance-connect" in argument for argument in one), one


def test_the_project_is_synced_and_nothing_else(up: list[list[str]]) -> None:
    synced = {one[-1].partition(":")[2]: one for one in up if one[0] == "rsync"}
    assert {"~/aman/aman/", "~/aman/cluster/", "~/aman/jobs/", "~/aman/requirements.lock"} <= synced.keys()
    assert {"~/.ray/auth_token", "~/ray_bootstrap_config.yaml", "~/ray_bootstrap_key.pem"} <= synced.keys()
    for target, one in synced.items():
        assert target.startswith(("~/aman/", "~/.ray/", "~/ray_bootstrap_"))
        excluded = {one[place + 1] for place, argument in enumerate(one) if argument == "--exclude"}
        assert {".venv", "runs", ".git"} <= excluded


def test_every_command_is_sound_bash_and_holds_no_secret(scripts: list[str], up: list[list[str]]) -> None:
    for script in scripts:
        done = subprocess.run(["bash", "-n", "-c", script], capture_output=True, text=True)
        assert done.returncode == 0 and not done.stderr, (script, done.stderr)
    assert TOKEN not in json.dumps(up)
    assert not re.search("password|SECRET_ACCESS_KEY", json.dumps(up), flags=re.IGNORECASE)


def test_ray_starts_in_the_project_with_tokens_and_the_projects_python(
    scripts: list[str], tmp_path: Path, mock: Mock
) -> None:
    (tmp_path / "aman").mkdir()
    (write,) = [script for script in scripts if "<<'END'" in script]
    home = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    subprocess.run(["bash", "-c", write], env=home, check=True, stderr=subprocess.DEVNULL)
    (start,) = [script for script in scripts if "ray start --head" in script]
    assert "--dashboard-host=127.0.0.1" in start and "--autoscaling-config" in start
    before, _, _ = start.rpartition(" && { ulimit")
    shown = subprocess.run(
        ["bash", "-c", f"{before} && pwd && env )"], env=home, check=True, text=True, capture_output=True
    )
    lines = shown.stdout.splitlines()
    variables = dict(line.split("=", 1) for line in lines if "=" in line)
    assert str(tmp_path / "aman") in lines
    assert variables["PATH"].startswith(f"{tmp_path}/aman/.venv/bin:")
    assert variables["RAY_AUTH_MODE"] == "token"
    assert variables["AMAN_STORE"] == "s3://a-bucket/cache"
    assert variables["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:5000"
    assert variables["RAY_enable_autoscaler_v2"] == "0", "ray up sets 1 before our own setting"
    types = load(mock.file)["available_node_types"].values()
    assert int(variables["AMAN_GPUS"]) == max(one["max_workers"] for one in types if one["resources"].get("GPU"))
    order = [
        script.index("cluster.machines.mlflow_server") if "cluster.machines.mlflow_server" in script else -1
        for script in scripts
    ]
    assert max(order) > 0, "MLflow is started"


def test_the_environment_is_installed_from_the_lock_once(scripts: list[str], tmp_path: Path) -> None:
    (install,) = [script for script in scripts if "requirements.lock" in script]
    assert "-r requirements.lock" in install and "--no-deps -e ." in install
    project, tools = tmp_path / "aman", tmp_path / "uv" / "bin"
    project.mkdir()
    tools.mkdir(parents=True)
    (tmp_path / "aman-environment").write_text("cd ~/aman\n")
    for name in ("requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, project)
    for program in (tools / "uv", tools / "pip", tmp_path / "python3"):
        program.write_text(f'#!/bin/sh\nmkdir -p .venv\necho "{program.name} $@" >> {tmp_path}/calls\n')
        program.chmod(0o755)
    home = {"HOME": str(tmp_path), "PATH": f"{tmp_path}:{os.environ['PATH']}"}

    def run() -> int:
        subprocess.run(["bash", "-c", install], env=home, check=True, stderr=subprocess.DEVNULL)
        return len((tmp_path / "calls").read_text().splitlines())

    assert [run(), run()] == [5, 5]
    (project / "requirements.lock").write_text("another==1\n")
    assert run() == 10


@pytest.fixture
def provider(mock: Mock, up: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> tuple[Any, dict[str, Any]]:
    """Ray's launcher and its settings, as the head has them."""
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
    from ray.autoscaler._private.util import prepare_config, validate_config

    assert up
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, mock.environment[name])
    settings = prepare_config(json.loads((mock.folder / "record" / "bootstrap.json").read_text()))
    validate_config(settings)
    return AWSNodeProvider(settings["provider"], "aman"), settings


@pytest.mark.parametrize(
    ("kind", "instance_type", "profile", "spot"),
    [
        ("cpu_on_demand", "c6i.2xlarge", "aman-worker", False),
        ("gpu_spot", "g5.2xlarge", "aman-trainer", True),
        ("gpu_on_demand", "g5.2xlarge", "aman-trainer", False),
    ],
)
def test_the_head_can_launch_workers_of_each_kind(
    mock: Mock,
    provider: tuple[Any, dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    instance_type: str,
    profile: str,
    spot: bool,
) -> None:
    from botocore.client import BaseClient

    launcher, settings = provider
    entry = settings["available_node_types"][kind]
    assert entry["min_workers"] == 0 and entry["max_workers"] > 0
    assert "ssh_proxy_command" not in settings["auth"], "the head is in the same network"
    made: set[str] = set()
    call = BaseClient._make_api_call  # pyrefly: ignore[missing-attribute]

    def record(client: Any, operation: str, request: Any) -> Any:
        made.add(f"{client.meta.service_model.service_name}:{operation}")
        return call(client, operation, request)

    monkeypatch.setattr(BaseClient, "_make_api_call", record)
    launcher.create_node(entry["node_config"], {"ray-node-kind": "worker", "ray-user-node-type": kind}, 1)
    (name,) = launcher.non_terminated_nodes({"ray-user-node-type": kind})
    launcher.set_node_tags(name, {"ray-node-status": "up-to-date"})
    assert {"ec2:RunInstances", "ec2:DescribeInstances", "ec2:CreateTags"} <= made <= actions("head")
    (node,) = [one for one in mock.instances() if {"Key": "ray-user-node-type", "Value": kind} in one["Tags"]]
    assert node["InstanceType"] == instance_type and not node.get("PublicIpAddress")
    assert node["IamInstanceProfile"]["Arn"].endswith(f"/{profile}")
    assert node.get("InstanceLifecycle") == ("spot" if spot else None)
    launcher.terminate_node(name)
    assert made <= actions("head")
    assert not launcher.non_terminated_nodes({"ray-user-node-type": kind})


def test_on_demand_nodes_are_launched_while_there_are_no_spot_nodes(
    provider: tuple[Any, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from botocore.exceptions import ClientError
    from ray._common.utils import load_class
    from ray.autoscaler._private.node_provider_availability_tracker import NodeProviderAvailabilityTracker
    from ray.autoscaler._private.resource_demand_scheduler import get_nodes_for
    from ray.autoscaler.node_launch_exception import NodeLaunchException

    launcher, settings = provider
    (named,) = re.findall(r"RAY_AUTOSCALER_UTILIZATION_SCORER=(\S+)", AWS.read_text())
    types, tracker = settings["available_node_types"], NodeProviderAvailabilityTracker()

    def chosen(demand: dict[str, Any], count: int = 1) -> dict[str, int]:
        scorer = partial(load_class(named), node_availability_summary=tracker.summary())
        return dict(get_nodes_for(types, {}, "head", 12, [demand] * count, utilization_scorer=scorer)[0])

    assert chosen({"CPU": 1}) == {"cpu_on_demand": 1}
    assert chosen({"CPU": 1, "GPU": 1}, 3) == {"gpu_spot": 3}
    assert chosen({"GPU": 0.25}, 3) == {"gpu_spot": 1}

    def refuse(**_: object) -> None:
        raise ClientError({"Error": {"Code": "InsufficientInstanceCapacity", "Message": "none left"}}, "RunInstances")

    monkeypatch.setattr(launcher.ec2_fail_fast, "create_instances", refuse)
    with pytest.raises(NodeLaunchException) as refusal:
        launcher.create_node(types["gpu_spot"]["node_config"], {"ray-node-kind": "worker"}, 1)
    tracker.update_node_availability("gpu_spot", int(time.time()), refusal.value)
    assert chosen({"CPU": 1, "GPU": 1}, 3) == {"gpu_on_demand": 3}
    assert chosen({"CPU": 1}) == {"cpu_on_demand": 1}


POLICIES = {path.stem: json.loads(path.read_text()) for path in (ROOT / "policies").glob("*.json")}
NEEDS = {
    "get_object": {"s3:GetObject"},
    "head_object": {"s3:GetObject", "s3:ListBucket"},
    "list_objects_v2": {"s3:ListBucket"},
    "put_object": {"s3:PutObject"},
    "copy_object": {"s3:GetObject", "s3:PutObject"},
    "delete_object": {"s3:DeleteObject"},
}
"""What AWS wants for a request."""


def actions(role: str) -> set[str]:
    given = [one["Action"] for one in POLICIES[role]["Statement"]]
    return {action for one in given for action in ([one] if isinstance(one, str) else one)}


def test_the_policies_allow_the_requests_that_the_store_makes_and_no_others() -> None:
    made = set(re.findall(r'_ask\("(\w+)"', (ROOT / "cluster" / "store" / "s3.py").read_text()))
    assert made == NEEDS.keys()
    wanted = set().union(*(NEEDS[request] for request in made - {"delete_object"}))
    assert actions("worker") == actions("trainer") == wanted
    launching = next(one for one in POLICIES["head"]["Statement"] if one["Sid"] == "LaunchNodesOfThisClusterOnly")
    described = yaml.safe_load(AWS.read_text())
    types = {name: one["node_config"]["InstanceType"] for name, one in described["available_node_types"].items()}
    head = described["head_node_type"]
    assert set(launching["Condition"]["StringEquals"]["ec2:InstanceType"]) == {*types.values()} - {types[head]}
    assert actions("cleanup") == NEEDS["get_object"] | NEEDS["list_objects_v2"] | NEEDS["delete_object"]
    assert not any(
        "Delete" in action or "*" in action for role in ("worker", "trainer", "head") for action in actions(role)
    )


@pytest.fixture(scope="module")
def obeying(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, dict[str, dict[str, str]]]]:
    """An S3 server that obeys the policies, and the variables of a client in each role."""
    from seaweed import running

    from cluster.store.s3 import client

    with running(tmp_path_factory.mktemp("obeying"), users=True) as server:
        client(server.environment).create_bucket(Bucket="aman")
        iam = boto_session().client(
            "iam",
            endpoint_url=server.environment["AWS_ENDPOINT_URL"],
            region_name="us-east-1",
            aws_access_key_id=server.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=server.environment["AWS_SECRET_ACCESS_KEY"],
        )
        roles = {}
        for role in ("worker", "trainer", "cleanup"):
            iam.create_user(UserName=role)
            key = iam.create_access_key(UserName=role)["AccessKey"]
            document = json.dumps(POLICIES[role]).replace("BUCKET", "aman")
            iam.put_user_policy(UserName=role, PolicyName=role, PolicyDocument=document)
            names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
            roles[role] = {**server.environment, names[0]: key["AccessKeyId"], names[1]: key["SecretAccessKey"]}
        yield server, roles


@pytest.fixture
def be(obeying: tuple[Server, dict[str, dict[str, str]]], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Take on a role: what this process asks of the store is then asked with its rights."""
    from cluster.store import s3

    server, roles = obeying

    def take_on(role: str) -> None:
        for name, value in (roles[role] if role != "owner" else server.environment).items():
            monkeypatch.setenv(name, value)
        s3._client.cache_clear()

    yield take_on
    s3._client.cache_clear()


def test_a_worker_makes_features_and_mends_damage_but_neither_deletes_nor_sees_folds(be: Any) -> None:
    from aman import methods
    from aman.inputs.base import stages
    from cluster.store.names import REFS
    from cluster.store.results import Cache
    from cluster.store.s3 import S3Store

    store = S3Store("s3://aman/cache")
    cache = Cache(store)
    be("trainer")
    cache.publish("folds", "f" * 64, b"a fold")
    be("worker")
    store.check_writable()
    assert cache.read("features", "a" * 64) is None
    inputs = [one for name in methods.names() for one in methods.find(name).inputs(methods.find(name).Settings())]
    kinds = {stage.name for stage in stages(inputs) if stage.kept}
    assert {"images", "features", "keyframes", "flow", "lbp_top"} <= kinds
    for kind in kinds:
        cache.publish(kind, "9" * 64, b"what a method takes in")
        assert cache.read(kind, "9" * 64) == b"what a method takes in"
    digest = cache.publish("features", "a" * 64, b"features")
    assert cache.read("features", "a" * 64) == b"features"
    be("owner")
    from cluster.store.s3 import client

    client().put_object(Bucket="aman", Key=f"cache/blobs/{digest[:2]}/{digest}", Body=b"damaged!")
    be("worker")
    assert cache.read("features", "a" * 64) is None, "set aside"
    assert len(list(store.names("aside"))) == 2
    cache.publish("features", "a" * 64, b"features")
    assert cache.read("features", "a" * 64) == b"features"
    for forbidden in (
        lambda: store.delete(f"{REFS}/features/aa/{'a' * 64}"),
        lambda: cache.read("folds", "f" * 64),
        lambda: cache.publish("folds", "e" * 64, b"a fold"),
        lambda: S3Store("s3://aman/mlflow").put("x", b"x"),
    ):
        with pytest.raises(UserError, match=r"cannot be used \((AccessDenied|403)\)"):
            forbidden()


def test_a_trainer_reads_features_and_makes_folds_but_deletes_nothing(be: Any) -> None:
    from cluster.store.results import Cache
    from cluster.store.s3 import S3Store

    store = S3Store("s3://aman/cache")
    cache = Cache(store)
    be("worker")
    cache.publish("features", "b" * 64, b"features")
    be("trainer")
    assert cache.read("features", "b" * 64) == b"features"
    cache.publish("folds", "b" * 64, b"a fold")
    assert cache.read("folds", "b" * 64) == b"a fold"
    for name in list(store.names("")):
        with pytest.raises(UserError, match="AccessDenied"):
            store.delete(name)
    with pytest.raises(UserError, match="AccessDenied"):
        S3Store("s3://aman/mlflow").put("x", b"x")


def test_a_clean_up_removes_what_no_result_leads_to_and_can_do_nothing_else(be: Any) -> None:
    from cluster.store.cleanup import removable, status
    from cluster.store.results import Cache
    from cluster.store.s3 import S3Store

    store = S3Store("s3://aman/cache")
    cache = Cache(store)
    be("trainer")
    cache.publish("folds", "c" * 64, b"kept")
    store.put(f"blobs/00/{'0' * 64}", b"left behind")
    be("cleanup")
    assert status(store).results["folds"] >= 1
    found = [name for name, _, _ in removable(store, grace=-60)]
    assert f"blobs/00/{'0' * 64}" in found
    for name in found:
        store.delete(name)
    assert not list(removable(store, grace=-60))
    with pytest.raises(UserError, match="AccessDenied"):
        store.delete(next(iter(store.names("refs"))))
    with pytest.raises(UserError, match="AccessDenied"):
        store.put("blobs/x", b"x")
    be("trainer")
    assert cache.read("folds", "c" * 64) == b"kept"


@pytest.mark.slow
def test_every_command_of_aws_and_ray_in_the_guide_is_one() -> None:
    import botocore.session
    from ray.scripts.scripts import cli

    text = (ROOT / "docs" / "cluster.md").read_text()
    lines = "\n".join(re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL))
    session, commands = botocore.session.Session(), re.findall(r"\baws (\S+) (\S+)((?:(?!\$\(|[;)\n]).)*)", lines)
    assert len(commands) > 30
    for service, name, rest in commands:
        if service == "s3":
            continue  # the command line's own
        service = {"s3api": "s3"}.get(service, service)
        model = session.get_service_model(service)
        operations = {to_option(operation): operation for operation in model.operation_names}
        if name == "wait":
            waiters = session.get_waiter_model(service).waiter_names
            assert rest.split()[0] in {to_option(waiter) for waiter in waiters}
            continue
        shape = model.operation_model(operations[name]).input_shape
        known = {to_option(member) for member in shape.members} if shape else set()
        known |= {"query", "output", "protocol", "port", "source-group", "enable-dns-hostnames", "encrypted"}
        given = set(re.findall(r"--([a-z-]+)", re.sub(r"'[^']*'|\"[^\"]*\"", "", rest)))
        assert given <= known, (service, name, given - known)
    for name in re.findall(r"^ray ([a-z-]+)", lines, flags=re.MULTILINE):
        assert name in cli.commands or name in {"up", "down", "job"}, name


def to_option(name: str) -> str:
    """`create_vpc` and `CreateVpc` as the command line has it."""
    from botocore import xform_name

    return xform_name(name, "-")


def test_the_guide_fills_in_every_placeholder() -> None:
    text = AWS.read_text()
    (line,) = [line for line in (ROOT / "docs" / "cluster.md").read_text().splitlines() if line.startswith("sed -i")]
    for place in re.findall(r"s/([^/]+)/", line):
        assert place in text
        text = text.replace(place, "filled")
    assert "FILL-ME-IN" not in re.sub("# FILL.*", "", text)
