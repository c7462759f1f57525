"""Python files that users write: a method, a database, a space."""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType

from aman.errors import UsageError
from aman.extras import missing_extra


def run_file(path: Path, prefix: str) -> ModuleType:
    """The module of a file, run once for each version (time and size) of the file; its name begins with `prefix`.
    Raises what the file raises, and `OSError` where it cannot be read."""
    status = path.stat()
    return _run(path.absolute(), f"{prefix}{path.stem}", (status.st_mtime_ns, status.st_size))


@contextmanager
def running(what: str, *, makes: str, fix: str) -> Iterator[None]:
    """Turn whatever the code of a file raises into a `UsageError` that names the file. `what` is `method FILE.py`, and
    `makes` is what the file should make."""
    try:
        yield
    except UsageError as error:
        raise UsageError(got=f"{error.got} in {what}", expected=error.expected, fix=error.fix) from None
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and (lacking := missing_extra(error)) is not None:
            raise lacking from None
        raise UsageError(
            got=f"{what}, which cannot be run ({type(error).__name__}: {error})",
            expected=f"a Python file that makes {makes}",
            fix=fix,
        ) from error


@cache
def _run(path: Path, name: str, version: tuple[int, int]) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(name)
    sys.modules[name] = module  # where dataclasses of the file look for the names of their types
    try:
        # Python's own loader takes stored bytecode for current while a file's size and its time in seconds are equal,
        # so that it can run the old code after a quick edit.
        exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
    except BaseException:
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before
        raise
    return module
