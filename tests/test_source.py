"""What counts in a source file, and what is only another way to write it."""

from pathlib import Path

import pytest

from aman.source import read, source_digest

SOURCE = b"""
import os.path as place
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from decimal import Decimal
@place.wraps(1)
class A(object, metaclass=type):
    x: int = -1
async def f(a, /, b=None, *c, d=..., e, **g) -> 'Decimal':
    async with a as (b, c), d:
        return await {**b, 'k': [*c]}[1:None:2]
def g():
    global h
    try:
        h = lambda x, *, y=1e400: f'{x!r:>{y}} {{}} ' '' "\\u00e4\xc3\xa4" f'{y=}' f'{x:}'
    except* (OSError, ValueError) as error:
        raise error from None
    match h:
        case {'a': [1, *_], **r} | None if (z := 1.0) < 2j <= b'x\\x00':
            yield from (i for i in r if not i)
    for i in (): print(i)
    else: assert True, u'no'
"""
"""Every kind of syntax whose tree could differ between versions of Python, f-strings above all."""


def test_a_digest_is_equal_for_every_version_of_python() -> None:
    assert source_digest(SOURCE) == "ea451be01947f134a3d827bbd64ebde51dfa2e9efe0270942dc00ff2939f3f6a"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("def f():\n    '''Say.'''\n    return 1", "def f(): return 1  # one"),
        ("class A:\n    x: int = 1\n    '''Of x.'''", "class A:\n    x: int = (1)"),
        ("def f():\n    '''Say.'''", "def f():\n    pass"),
        ("x = 'a' 'b'", 'x = u"ab"'),
        ("x = [1,\n 2,]", "x = [1, 2]"),
        ("x = 0x10 + 1_0", "x = 16 + 10"),
        ("x = f'a' f'{b}' 'c'", "x = f'a{b}c'"),
        ("x = 1\r\n", "x = 1"),
    ],
)
def test_writing_it_in_another_way_is_no_change(one: str, other: str) -> None:
    assert source_digest(one.encode()) == source_digest(other.encode())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 1", "x = 1.0"),
        ("x = 1", "x = True"),
        ("x = 'a'", "x = b'a'"),
        ("x = None", "x = ..."),
        ("x = a + b", "x = b + a"),
        ("x = a[1:]", "x = a[:1]"),
        ("x = {**a}", "x = {a: a}"),
        ("def f(*, a=None, b): g()", "def f(*, a, b=None): g()"),
        ("x = f'{a}b'", "x = f'{a!s}b'"),
        ("x = f'{a}' '{b}'", "x = f'{a}{b}'"),
        ("if a:\n    b()\nc()", "if a:\n    b()\n    c()"),
        ("x = 0.1", "x = 0.10000000000000002"),
        ("def f(): return 1", "async def f(): return 1"),
    ],
)
def test_what_does_something_else_is_a_change(one: str, other: str) -> None:
    assert source_digest(one.encode()) != source_digest(other.encode())


def test_names_only_a_type_checker_imports_are_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text("import a\nif TYPE_CHECKING:\n    import b\nelse:\n    from . import c\n    from ..d import e\n")
    assert read("room.part.own", path).imports == {"a", "room.part.c", "room.d.e"}
