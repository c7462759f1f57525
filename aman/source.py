"""Source files as content keys see them: what a module means, and which names it imports."""

import ast
import functools
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aman.errors import UsageError

PARSING = threading.Lock()
"""CPython 3.11 counts the depth of a syntax tree for all threads together: two that parse at once break each other."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A module that was read."""

    digest: str
    """Digest of the module's syntax tree, see `source_digest`."""
    imports: frozenset[str]
    """Full names of what is imported, anywhere in the module: modules, or what is in them."""
    words: frozenset[str]
    """Names that the module uses: variables, attributes, imported names."""


@functools.cache
def read(module: str, path: Path) -> Source:
    """The module of this dotted name, from its file. Raises `UsageError` where the file is no Python."""
    try:
        with PARSING:
            tree = ast.parse(path.read_bytes())
    except OSError as error:
        raise UsageError(got=f"{path}: {error.strerror}", expected="a file of Python", fix="check the path") from None
    except (SyntaxError, ValueError) as error:
        raise UsageError(
            got=f"{path}, no Python: {error}", expected="a file of Python", fix="correct the file"
        ) from None
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    nodes = list(_executed(tree))
    words = {getattr(node, name) for node in nodes for kind, name in WORDS if isinstance(node, kind)}
    return Source(
        digest=sha256(_written(tree)),
        imports=frozenset(name for node in nodes for name in _imported(node, package)),
        words=frozenset(words),
    )


WORDS = ((ast.Name, "id"), (ast.Attribute, "attr"), (ast.alias, "name"))


def sha256(text: str) -> str:
    """Digest of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only a type checker sees."""
    yield node
    typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in (
        getattr(node.test, "id", ""),
        getattr(node.test, "attr", ""),
    )
    for child in node.orelse if isinstance(node, ast.If) and typing_only else ast.iter_child_nodes(node):
        yield from _executed(child)


def _imported(node: ast.AST, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        parts = package.split(".")
        above = parts[: len(parts) + 1 - node.level] if node.level else []
        start = ".".join([*above, *([node.module] if node.module else [])])
        yield from (f"{start}.{alias.name}" for alias in node.names)


def source_digest(source: bytes) -> str:
    """sha256 of what a module's source means: its syntax tree, equal for Python 3.11 to 3.13."""
    return sha256(_written(ast.parse(source)))


def _written(node: Any) -> str:
    """A syntax tree as text. `ast.dump` and `ast.unparse` would give another text in each version of Python."""
    if isinstance(node, list):
        return f"[{','.join([_written(one) for one in node if not _does_nothing(one)])}]"
    if not isinstance(node, ast.AST):
        return ascii(node)
    if isinstance(node, ast.JoinedStr):
        node.values = _joined(node.values)
    fields = [(name, getattr(node, name, None)) for name in node._fields if name not in ("ctx", "kind", "type_comment")]
    # Python 3.12 has more fields than 3.11, which are empty where the source has nothing new.
    return f"{type(node).__name__}({','.join([f'{n}={_written(v)}' for n, v in fields if v is not None and v != []])})"


def _does_nothing(node: Any) -> bool:
    """Whether a statement is a docstring, another lone constant, or `pass`."""
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def _joined(values: list[ast.expr]) -> list[ast.expr]:
    """The parts of an f-string, neighbouring texts as one: versions of Python cut them in different places."""
    parts: list[ast.expr] = []
    for value in values:
        last = parts[-1] if parts else None
        if isinstance(value, ast.Constant) and isinstance(last, ast.Constant):
            parts[-1] = ast.Constant(str(last.value) + str(value.value))
        elif not (isinstance(value, ast.Constant) and value.value == ""):
            parts.append(value)
    return parts
