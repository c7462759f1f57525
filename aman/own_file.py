"""Python files of a user's own: a method, a database, a space."""

import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType


def run_file(path: Path, prefix: str) -> ModuleType:
    """The module of a file, run once for each version (time and size) of the file; its name begins with `prefix`.
    Raises what the file raises, and `OSError` where it cannot be read."""
    status = path.stat()
    return _run(path.absolute(), f"{prefix}{path.stem}", (status.st_mtime_ns, status.st_size))


@cache
def _run(path: Path, name: str, version: tuple[int, int]) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(name)
    sys.modules[name] = module  # where dataclasses of the file look for the names of their types
    try:
        # Bytecode that Python keeps is told apart by size and second: a quick edit would run the code of before.
        exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
    except BaseException:
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before
        raise
    return module
