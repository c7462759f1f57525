"""What `--help` says of options that many jobs have, and the form in which it says what is in docstrings."""

import ast
import inspect
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from itertools import pairwise
from textwrap import dedent
from types import MappingProxyType
from typing import Any, get_type_hints

from aman.databases import databases, names
from jobs.started import as_started

DATABASE_HELP = f"One of {names()}, or a .py file of your own that defines DATABASE (docs/add_a_database.md)."
DATABASES_HELP = f"{DATABASE_HELP} Several are put side by side: casme2 samm smic --protocol cross."
ROOT_HELP = "Folder of the release, or s3://bucket/folder. " + " ".join(
    f"{one.name}: made in {one.default_root} where no folder is named."
    for one in databases().values()
    if one.default_root
)

PROTOCOL_TEXT = (
    "Which clips and classes count (the job `protocols` lists them), and how they are divided: NAME-kfold5-seed0 in"
    " five folds over subjects, NAME-cross leaves out every database once, NAME-cross-to-DATABASE predicts one from the"
    " others, and NAME alone leaves out every subject once. Empty: the database's own."
)
SPLIT_TEXT = "Table clip,set of your own (train, test or unused) in place of leaving out every subject once."
LABELS_TEXT = "Table database,label,class of your own: which label of the sheet is which class. Others do not count."

ROOTS_HELP = f"{ROOT_HELP} Of several databases one folder that holds all, or one for each in the same order."


def description(docstring: str | None) -> str:
    """What `--help` begins with: the paragraphs of a job's docstring, each as one line that the terminal breaks."""
    paragraphs = (docstring or "").strip().split("\n\n")
    return as_started("\n\n".join(" ".join(one.split()) for one in paragraphs))


def flowing(kind: Any, given: Sequence[str]) -> None:
    """Where `--help` is among the arguments: give the options of a dataclass, and of the dataclasses in it, their
    docstrings as text that only the terminal breaks. tyro would keep the line ends of the source."""
    if not {"-h", "--help"} & set(given):
        return
    texts, hints = docstrings(kind), get_type_hints(kind)
    for one in fields(kind):
        if is_dataclass(hints[one.name]):
            flowing(hints[one.name], given)
        elif one.name in texts:
            one.metadata = MappingProxyType({**one.metadata, "help": as_started(texts[one.name])})


def docstrings(kind: type) -> dict[str, str]:
    """The docstring of each field of a dataclass, its own or that of the base which declares the field last."""
    found: dict[str, str] = {}
    for one in reversed(kind.__mro__):
        try:
            body = ast.parse(dedent(inspect.getsource(one))).body[0]
        except (OSError, TypeError):  # made by a program, or no class of Python's own text
            continue
        for before, after in pairwise(body.body if isinstance(body, ast.ClassDef) else ()):
            match before, after:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    found[name] = " ".join(text.split())
    return found
