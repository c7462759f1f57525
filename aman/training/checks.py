"""What several methods ask of a setting, each said once."""

from collections.abc import Sequence
from typing import Any, Protocol

from aman.errors import UsageError
from aman.training.settings import within


class Trained(Protocol):
    """Settings of a method that trains by epochs."""

    @property
    def rate(self) -> float: ...
    @property
    def epochs(self) -> int: ...
    @property
    def batch(self) -> int: ...


def check_training(training: Trained) -> None:
    """`UsageError` for epochs, a batch or a learning rate that no training can have."""
    within("--epochs", training.epochs, 1, 100_000)
    within("--batch", training.batch, 1, 100_000)
    if not 0 < training.rate < 100:
        usual: Any = type(training)()
        raise UsageError(got=f"--rate {training.rate}", expected="a rate above 0", fix=f"the default is {usual.rate:g}")


def check_costs(costs: Sequence[float]) -> None:
    """`UsageError` where no C of a support vector machine, or one that is not above 0, is to be tried."""
    if not costs or min(costs) <= 0:
        raise UsageError(
            got=f"--costs {' '.join(map(str, costs))}".strip(),
            expected="one or more numbers above 0",
            fix="leave --costs out for the usual grid",
        )
