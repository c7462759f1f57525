"""What starts is lean: no library that nothing needs, no trunk built twice, no process that serves nobody."""

import gc
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from refusing import refusing
from safetensors.torch import save_file
from torch import nn

from aman import backbone
from aman.backbone import digest, load_trunk
from aman.resnet import ResNet18
from aman.training.eager import eager
from cluster.folds import fleet
from cluster.machines import starting
from cluster.machines.lean import FOR_CLUSTERS, SESSION, UNUSED, lean, lean_session
from cluster.machines.session import Slots

HEAVY = ("torchvision", "torch._dynamo", "torch._inductor", "sympy")
FOLD = """
import torch
from aman.backbone import FrozenTrunk, features, load_trunk
from aman.methods import variant
from aman.methods.aman import METHOD, RECIPES
from aman.training.fold import FoldTask
from aman.training.neural import be_deterministic, train_fold
be_deterministic()
image = torch.randint(255, (6, 4, 32, 32, 3)).byte().numpy()
x = torch.from_numpy(features(FrozenTrunk(load_trunk("fer2013"), "layer4"), image)).view(6, 2, 2, 512, 1, 1)
clips = {"train_clips": ("a", "b", "c", "d"), "train_labels": (0, 1, 0, 1), "test_clips": ("e", "f")}
task = FoldTask(subject="s", classes=2, seed=0, **clips)
for optimiser in ("adamw", "rmsprop"):
    recipe = variant(RECIPES["quick"], k=2, n=2, epochs=2, optimiser=optimiser)
    train_fold(METHOD, [x[:4]], [x[4:]], task, recipe)
"""
TELL = f"import sys; print(*[name for name in {HEAVY} if name in sys.modules])"
OWN = f"""
{refusing(["torch._dynamo"])}
try:
    torch.optim.AdamW(torch.nn.Linear(1, 1).parameters())
except ImportError as error:
    print(error.name)
"""
"""Makes an optimiser of torch, and says whether that wanted the compiler, which takes five seconds."""


def test_features_and_folds_import_neither_torchvision_nor_the_compiler_and_torchs_own_optimisers_do() -> None:
    """Heavy libraries that a process has imported after a fold, and then what an optimiser of torch would import."""
    code = "\n".join((FOLD, TELL, OWN))
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    after_a_fold, wanted = told.split("\n")[:2]
    assert after_a_fold == ""
    assert wanted == "torch._dynamo", "the line above could not fail"


@pytest.mark.parametrize("classes", [7, 1000])
def test_resnet18_is_torchvisions_bit_for_bit(classes: int) -> None:
    from torchvision.models import resnet18

    torch.manual_seed(3)
    theirs, after = resnet18(weights=None, num_classes=classes), torch.get_rng_state()
    torch.manual_seed(3)
    ours = ResNet18(classes)
    assert torch.equal(torch.get_rng_state(), after)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [name for name, _ in ours.named_modules()] == [name for name, _ in theirs.named_modules()]
    x = torch.randn(2, 3, 64, 64)
    for network in (ours, theirs):
        network(x).square().sum().backward()
    assert digest(ours) == digest(theirs)  # the running statistics, too
    pairs = zip(ours.parameters(), theirs.parameters(), strict=True)
    # pyrefly: ignore[bad-argument-type]
    assert all(torch.equal(one.grad, other.grad) for one, other in pairs if one.grad is not None)
    assert torch.equal(ours.eval()(x), theirs.eval()(x))


KINDS = {
    torch.optim.AdamW: {"lr": 0.1, "weight_decay": 0.01},
    torch.optim.Adam: {"lr": 0.1},
    torch.optim.SGD: {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-3},
    torch.optim.RMSprop: {"lr": 0.1, "eps": 1e-8, "weight_decay": 1e-4},
}


def stepped(kind: Any, settings: dict[str, Any]) -> torch.Tensor:
    """The weights after six steps; in the middle the optimiser's state goes to a new one, as from a kept fold."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3))
    optimiser = kind(model.parameters(), **settings)
    for step in range(6):
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda at: 1 / (1 + at))
        optimiser.zero_grad(set_to_none=True)
        model(torch.randn(4, 5)).square().mean().backward()
        optimiser.step()
        schedule.step()
        if step == 3:
            state = optimiser.state_dict()
            optimiser = kind(model.parameters(), **settings)
            optimiser.load_state_dict(state)
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_eager_optimiser_steps_as_torchs_own(kind: Any) -> None:
    theirs = stepped(kind, KINDS[kind])
    assert torch.equal(stepped(eager(kind), KINDS[kind]), theirs)
    assert not torch.equal(stepped(eager(kind), {**KINDS[kind], "lr": 0.2}), theirs)


def test_a_worker_builds_the_trunk_once_and_hands_out_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    built = []

    class Counted(ResNet18):
        def __init__(self) -> None:
            built.append(1)
            super().__init__()

    backbone._loaded.cache_clear()
    monkeypatch.setattr(backbone, "ResNet18", Counted)
    first = load_trunk("random")
    whole = digest(first)
    nn.init.zeros_(first.get_parameter("layer4.0.conv1.weight"))  # as a fold trains its own
    assert digest(load_trunk("random")) == whole != digest(first)
    assert len(built) == 1
    backbone._loaded.cache_clear()
    assert digest(load_trunk("random")) == whole
    assert len(built) == 2


def test_a_file_of_weights_that_changes_is_read_again(tmp_path: Path) -> None:
    path, state = tmp_path / "trunk.safetensors", load_trunk("random").state_dict()
    save_file(state, path)
    before = digest(load_trunk(str(path)))
    save_file({**state, "conv1.weight": state["conv1.weight"] * 2}, path)
    assert before == digest(load_trunk("random")) != digest(load_trunk(str(path)))


@pytest.mark.parametrize("ours", [True, False])
def test_ray_train_starts_without_its_unused_parts(ours: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

    monkeypatch.setattr("cluster.machines.lean.UNUSED", UNUSED)  # the session of these tests leaves out more

    def parts(trainer: type) -> list[str]:
        return [type(part).__name__ for part in trainer(print)._create_default_callbacks()]

    without = {*UNUSED, *(FOR_CLUSTERS if ours else ())} - {"FixedScalingPolicy"}
    own = parts(DataParallelTrainer)
    assert without <= set(own)  # else Ray has other names for them
    assert parts(lean(DataParallelTrainer, ours=ours)) == [name for name in own if name not in without]


def policy_of(given: object, ours: bool) -> Any:
    """The policy of scaling that Ray Train's controller gets where the trainer has made this one."""
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

    class Starts(DataParallelTrainer):
        def _initialize_and_run_controller(self, **parts: Any) -> Any:
            return parts["scaling_policy"]

    return lean(Starts, ours=ours)(print)._initialize_and_run_controller(scaling_policy=given)


@pytest.mark.parametrize("ours", [True, False])
def test_a_group_of_fixed_size_asks_for_machines_only_where_machines_can_join(
    ours: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray.train.v2._internal.execution.scaling_policy import FixedScalingPolicy, scaling_policy
    from ray.train.v2.api.config import ScalingConfig

    monkeypatch.setattr("cluster.machines.lean.UNUSED", UNUSED)
    asked: list[str] = []

    class Client:
        def __init__(self, requester: str) -> None:
            self.requester = requester

        def send_resource_request(self, *_: object) -> None:
            asked.append(self.requester)

        maybe_send_resource_request = send_resource_request

    monkeypatch.setattr(scaling_policy, "TrainAutoscalingCoordinatorClient", Client)  # else Ray has another name for it

    policy = policy_of(FixedScalingPolicy(ScalingConfig(num_workers=3)), ours)
    policy.after_controller_start(SimpleNamespace(run_id="r"))
    decision = policy.make_decision_for_non_running_worker_group()
    assert (decision.num_workers, decision.resources_per_worker) == (3, {"CPU": 1})
    assert asked == ([] if ours else ["train-r", "train-r"])


def test_a_group_that_grows_keeps_its_own_policy() -> None:
    from ray.train.v2._internal.execution.scaling_policy import ElasticScalingPolicy
    from ray.train.v2.api.config import ScalingConfig

    policy = ElasticScalingPolicy(ScalingConfig(num_workers=(1, 3)))
    assert policy_of(policy, ours=True) is policy


@pytest.mark.parametrize(
    ("ours", "gpus", "workers", "share", "size"),
    [
        (True, 0, 2, 0, 2),
        (True, 0, 3, 0, (1, 3)),  # more than CPUs
        (True, 1, 2, 0.6, (1, 2)),  # one of such workers fits on the GPU
        (False, 0, 2, 0, (1, 2)),
        (False, 0, 1, 0, 1),
    ],
)
def test_a_group_has_a_fixed_size_where_all_its_workers_have_room(
    ours: bool, gpus: int, workers: int, share: float, size: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(fleet, "capacity", lambda: Slots(cpus=2, gpus=gpus, ours=ours))
    assert fleet._trainer({}, workers, share, str(tmp_path), 1).scaling_config.num_workers == size


def test_a_session_starts_without_monitors_and_on_a_free_port_and_other_sessions_as_they_did() -> None:
    from ray._private import parameter

    usual = parameter.RayParams()
    assert all(hasattr(usual, name) for name in SESSION)  # else Ray has other names for them
    with lean_session():
        ours = parameter.RayParams(num_cpus=2)
    told = {name: getattr(ours, name) for name in SESSION}
    assert told == {
        "include_log_monitor": False,
        "no_monitor": True,
        "dashboard_agent_listen_port": 0,
        "setup_worker_path": starting.__file__,
    }
    assert ours.num_cpus == 2
    assert {name: getattr(parameter.RayParams(), name) for name in SESSION} != told


@pytest.mark.parametrize(("include_dashboard", "served"), [(False, False), (True, True), (None, True)])
def test_rays_api_server_starts_only_where_there_is_to_be_a_dashboard(
    include_dashboard: bool | None, served: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray._private import services

    asked: list[object] = []

    def start(include_dashboard: object, *_: object, **__: object) -> tuple[str, str]:
        asked.append(include_dashboard)
        return "address", "process"

    monkeypatch.setattr(services, "start_api_server", start)  # else Ray has another name for it
    with lean_session():
        serve: Any = services.start_api_server
        told = serve(include_dashboard, False, "", port=1)
    assert (told, asked) == ((("address", "process"), [include_dashboard]) if served else ((None, None), []))
    assert services.start_api_server is start


WORKER = """
import gc, os, sys
mine = [os.environ[name] for name in ("RAY_MINE", "MINE") if name in os.environ]
print(*gc.get_threshold(), "ray" in sys.modules, sys.path[0], mine, *sys.argv)
"""
"""Stands in for Ray's program of a worker."""


@pytest.mark.parametrize(
    ("context", "mine", "at_once"),
    [
        (None, [], True),
        ({"env_vars": {"RAY_MINE": "1"}, "py_executable": sys.executable, "command_prefix": []}, ["1"], True),
        ({"env_vars": {"RAY_MINE": "1", "MINE": "2"}}, ["1", "2"], False),
    ],
)
def test_a_worker_starts_at_once_and_by_rays_own_program_where_it_is_to_have_an_environment(
    context: dict[str, Any] | None, mine: list[str], at_once: bool, tmp_path: Path
) -> None:
    import ray

    program = tmp_path / "default_worker.py"
    program.write_text(WORKER)
    shutil.copy(Path(ray.__path__[0]) / "_private" / "workers" / "setup_worker.py", tmp_path)
    wanted = [] if context is None else [f"--serialized-runtime-env-context={json.dumps(context)}"]
    command = [sys.executable, starting.__file__, str(program), "--node-id=7", "--language=PYTHON", *wanted]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    usual = [sys.executable, "-c", "import gc; print(*gc.get_threshold())"]
    thresholds = subprocess.run(usual, capture_output=True, text=True, check=True).stdout.split()
    ours = [str(number) for number in starting.COLLECT_AFTER]
    assert ours != thresholds, "the line below could not tell which program has run"
    assert told == [
        *(ours if at_once else thresholds),
        "False",
        str(tmp_path),
        *str(mine).split(),
        str(program),
        "--node-id=7",
    ]


@pytest.mark.parametrize(
    ("context", "variables"),
    [
        ("", {}),
        ("{}", {}),
        (
            '{"env_vars": {"RAY_ONE": "1", "RAY_TWO": ""}, "command_prefix": [], "java_jars": []}',
            {"RAY_ONE": "1", "RAY_TWO": ""},
        ),
        ('{"env_vars": {"RAY_ONE": "${HOME}"}}', None),
        ('{"env_vars": {"PYTHONPATH": "/"}}', None),
        ('{"command_prefix": ["nice"]}', None),
        ('{"py_executable": "nice python"}', None),
        ('{"override_worker_entrypoint": "/worker.py"}', None),
    ],
)
def test_only_variables_for_ray_are_set_without_rays_own_program(
    context: str, variables: dict[str, str] | None
) -> None:
    assert starting._variables(context) == variables


def test_a_worker_of_a_session_collects_less(ray_cluster: None) -> None:
    import ray

    @ray.remote
    def thresholds() -> tuple[int, ...]:
        import gc

        return gc.get_threshold()

    assert ray.get(thresholds.remote()) == starting.COLLECT_AFTER


def test_a_job_collects_less_from_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    from jobs import cache
    from jobs.command_line import run_job

    def main(options: cache.Options) -> int:
        return gc.get_threshold() != starting.COLLECT_AFTER

    before = gc.get_threshold()
    monkeypatch.setattr(sys, "argv", ["cache.py", "status"])
    gc.set_threshold(700, 10, 10)
    try:
        with pytest.raises(SystemExit) as left:
            run_job(cache.Options, main, cache.__doc__)
    finally:
        gc.set_threshold(*before)
    assert left.value.code == 0
