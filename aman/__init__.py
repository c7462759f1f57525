"""AMAN: attention-based magnification-adaptive networks (Wei et al., ICASSP 2022), the method alone.

Arrays and tables in, arrays and tables out: no network, no Ray, no MLflow, no boto3. Shape letters, everywhere:
`B` clips in a batch, `T` raw frames, `L` interpolated frames (20), `N` sampled frames, `K` factors, `C H W`,
`D` features (512).
"""

from typing import Any


def __getattr__(name: str) -> Any:
    """`aman.benchmark` is the function `benchmark` of `jobs.api`. It is imported when somebody asks for it, and not
    before: this package by itself imports nothing that runs a benchmark."""
    if name != "benchmark":
        raise AttributeError(f"module 'aman' has no attribute {name!r}")
    from importlib import import_module

    return import_module("jobs.api").benchmark
