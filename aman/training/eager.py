"""torch's optimisers as they are without torch.compile, which no fold uses.

torch wraps what an optimiser does for its compiler, and the first call of any wrapper imports that compiler: 900
modules and a second of computing in each process that trains.
"""

import inspect
from functools import lru_cache
from typing import Any

import torch

WRAPPED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
"""Methods of all optimisers that are wrapped beside `step`."""


@lru_cache
def eager(kind: Any) -> Any:
    """The class of optimisers without what is for torch.compile: equal steps, equal state. Not for networks that are
    compiled, nor for `differentiable=True`."""
    bare: dict[str, Any] = {name: inspect.unwrap(getattr(kind, name)) for name in WRAPPED}
    bare["step"] = torch.no_grad()(inspect.unwrap(kind.step))
    bare["step"].hooked = True  # so that torch adds no hooks for its profiler, which cost a small network a tenth
    return type(kind.__name__, (kind,), {"__doc__": kind.__doc__, **bare})
