"""How programs of this project start: with fewer of Python's garbage collections. As a program: what Ray starts for a
worker of a lean session, in place of its own two programs, one of which imports Ray only to start the other."""

import argparse
import gc
import json
import os
import runpy
import sys
from pathlib import Path

COLLECT_AFTER = (10_000, 10, 10)
"""Python's own is 700 new objects. Imports of torch, Ray and MLflow make over 200,000 each, and nearly all stay."""


def collect_less() -> None:
    """Save the tenth of a program's imports that goes into searches for objects that nobody uses."""
    gc.set_threshold(*COLLECT_AFTER)


def _variables(context: str) -> dict[str, str] | None:
    """The variables of a runtime environment that has nothing but variables for Ray, which only Ray's libraries read;
    None for any other."""
    wanted = json.loads(context or "{}")
    variables = wanted.pop("env_vars", None) or {}
    if wanted.get("py_executable") == sys.executable:
        del wanted["py_executable"]
    alone = all(name.startswith("RAY_") and "$" not in value for name, value in variables.items())
    return variables if alone and not any(wanted.values()) else None


def _worker(arguments: list[str]) -> None:
    """Be the worker that Ray asks for: `arguments` are those for the `setup_worker.py` of Ray. Where a runtime
    environment has more than variables for Ray, that program sets it up."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--serialized-runtime-env-context", default="{}")
    parser.add_argument("--language")
    options, rest = parser.parse_known_args(arguments)
    worker = next(path for path in rest if path.endswith("default_worker.py"))
    variables = _variables(options.serialized_runtime_env_context)
    if worker == rest[0] and options.language == "PYTHON" and variables is not None:
        os.environ.update(variables)
        program, sys.argv = worker, rest
    else:
        program = str(Path(worker).with_name("setup_worker.py"))
        sys.argv = [program, *arguments]
    if not sys.flags.safe_path:  # the folder of the program that runs
        sys.path[0] = str(Path(program).parent)
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    collect_less()
    _worker(sys.argv[1:])
