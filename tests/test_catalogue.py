"""The tables of the methods and of the databases are made from their code, and the files in docs are these tables."""

from pathlib import Path

from aman.catalogue import parameters, table
from aman.database_table import tables
from aman.databases import databases
from aman.layouts import layouts
from aman.making import LAYOUTS
from aman.methods import find, names
from aman.protocols import published

DOCS = Path(__file__).parents[1] / "docs" / "methods.md"


def test_the_document_is_what_the_code_says_of_every_method() -> None:
    text = DOCS.read_text()
    assert text == table(), "run `make methods`"
    (_, *rows), (_, *printed) = (
        [line for line in part.splitlines() if line.startswith("| `")] for part in text.split("## Published")
    )
    assert [row.split("`")[1] for row in rows] == names()
    wanted = [(name, protocol) for name in names() for protocol in published().get(find(name).title or name, {})]
    assert [tuple(row.split("`")[1:4:2]) for row in printed] == wanted and len(wanted) > len(names())


def test_parameters_are_what_training_changes() -> None:
    assert parameters(find("ststnet").Settings(), 3) == 1683
    assert parameters(find("lbp-top").Settings(), 3) is None
    aman = find("aman")
    whole, head = (parameters(one, 3) for one in (aman.Settings(), aman.recipes["quick"]))
    assert whole is not None and head is not None
    assert whole > 8_000_000 > 10_000 > head > 3 * 513, "layer4 is trained by default, and frozen in `quick`"


def test_the_document_is_what_the_code_says_of_every_database() -> None:
    text = DOCS.with_name("databases.md").read_text()
    assert text == tables(), "run `make databases`"
    first, second = (
        [line for line in part.splitlines() if line.startswith("| `")] for part in text.split("## The pro")
    )
    assert [row.split("`")[1] for row in first[1:]] == list(databases())
    names = [protocol.name for one in databases().values() for protocol in one.protocols]
    assert list(dict.fromkeys(row.split("`")[1] for row in second[1:])) == names
    for name, one in databases().items():
        line = next(row for row in first if row.startswith(f"| `{name}` |"))
        assert ("unverified" in line) == bool(one.unverified) == (name in ("casme1", "4dme"))


def test_every_layout_can_be_asked_for() -> None:
    assert set(layouts()) <= set(LAYOUTS)
    assert {layout.database for layout in layouts().values()} <= set(databases())
