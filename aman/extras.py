"""Packages that come with an extra of this project: where one is missing, one sentence names the extra."""

from collections.abc import Iterator
from contextlib import contextmanager

from aman.errors import UsageError

EXTRAS = {
    "train": (
        *("jinja2", "matplotlib", "mlflow", "plenoptic", "rich"),
        *("skimage", "sklearn", "threadpoolctl", "torch", "torchvision"),
    ),
    "cluster": ("boto3", "botocore", "optuna", "pyarrow", "ray"),
}
"""Modules of the packages of each extra in pyproject.toml, by the names that they are imported by."""


def missing_extra(error: ImportError) -> UsageError | None:
    """The error in words, where the module that was not found belongs to a package of an extra; None for others."""
    package = (error.name or "").partition(".")[0]
    for extra, packages in EXTRAS.items():
        if package in packages:
            fix = f'type pip install ".[{extra}]" in the project\'s folder, or the name of the wheel for the dot'
            return UsageError(
                got=f"no package {package}, which this command needs",
                expected=f"an installation with the extra `{extra}`",
                fix=fix + (", or add --here to go without Ray" if package == "ray" else ""),
            )
    return None


@contextmanager
def extras_named() -> Iterator[None]:
    """Raise `UsageError` with the name of the extra where the code inside lacks a package of one."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (said := missing_extra(error)) is None:
            raise
        raise said from error
