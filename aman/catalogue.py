"""The methods as tables for people, docs/methods.md, made from their code.

`python -m aman.catalogue` prints the file; `make methods` writes it.
"""

import inspect
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext

from aman import methods
from aman.inputs.base import stages
from aman.methods import Classical, Method, Neural, Recipe
from aman.protocols import published

CLASSES = 5
"""Classes for which parameters are counted."""
HEAD = """# The methods

`python -m aman.catalogue` makes these tables from the code of each method: `make methods` writes them again, and a test
compares. A method is one file, `aman/methods/NAME.py`; [add_a_method.md](add_a_method.md) shows how to add one, and
`python jobs/compare.py` runs all of them side by side. The file of a method says in its first lines which paper it
follows, what is certain, and what is not known. Parameters are the numbers that training changes, for {classes} classes
and the default settings.
"""
PUBLISHED = """\
## Published numbers

What the papers print, in per cent, and what is known of how it was measured. "Best test epoch" means that the epoch was
chosen by the clips that are scored.
"""


def table() -> str:
    """The whole file."""
    known = [methods.find(name) for name in methods.names()]
    printed = [line for one in known for line in published_by(one)]
    return "\n".join(
        [HEAD.format(classes=CLASSES), markdown([row(one) for one in known]), PUBLISHED, markdown(printed)]
    )


def markdown(rows: Sequence[dict[str, str]]) -> str:
    """Rows as a table of Markdown; each row has its cells by the head of the column."""
    heads = list(rows[0])
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    lines += [f"| {' | '.join(cell.replace('|', '/') for cell in one.values())} |" for one in rows]
    return "\n".join([*lines, ""])


def row(method: Method) -> dict[str, str]:
    """What the first table says of one method, by the head of the column."""
    settings = method.Settings()
    inputs = stages(method.inputs(settings))
    count = parameters(settings, CLASSES)
    said = inspect.getdoc(inspect.getmodule(type(method))) or ""
    kept = dict.fromkeys(f"`{one.name}`" for one in inputs if one.kept or one in method.inputs(settings))
    return {
        "`--method`": f"`{method.name}`",
        "what it is": " ".join(said.partition("\n\n")[0].split()),
        "cached of a clip": ", ".join(kept),
        "trained by": "epochs" if isinstance(method, Neural) else "one fit" if isinstance(method, Classical) else "",
        "parameters": "-" if count is None else f"{count:,}",
        "recipes": ", ".join(f"`{name}`" for name in dict.fromkeys(("default", *method.recipes))),
    }


def published_by(method: Method) -> Iterator[dict[str, str]]:
    """Rows of the second table: what papers print of one method, a row for each protocol."""
    for protocol, numbers in published().get(method.title or method.name, {}).items():
        yield {
            "`--method`": f"`{method.name}`",
            "name in the report": method.title or method.name,
            "`--protocol`": f"`{protocol}`",
            "published": str(numbers),
            "how it was measured": numbers.note or "-",
        }


def parameters(settings: Recipe, classes: int) -> int | None:
    """How many numbers training changes; None for a method that trains no network."""
    method = settings.method
    if not isinstance(method, Neural):
        return None
    import torch

    from aman.training.neural import build

    # A network without weights of a file is counted without its numbers, which may need a gigabyte.
    with nullcontext() if method.starts_from(settings) else torch.device("meta"):
        network = build(method, settings, classes, seed=0)
    return sum(one.numel() for one in network.parameters() if one.requires_grad)


if __name__ == "__main__":
    sys.stdout.write(table())
