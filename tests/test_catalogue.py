"""The table of the methods is made from their code, and docs/methods.md is that table."""

from pathlib import Path

from aman.catalogue import parameters, table
from aman.methods import find, names

DOCS = Path(__file__).parents[1] / "docs" / "methods.md"


def test_the_document_is_what_the_code_says_of_every_method() -> None:
    text = DOCS.read_text()
    assert text == table(), "run `make methods`"
    _, *rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == names()


def test_parameters_are_what_training_changes() -> None:
    assert parameters(find("ststnet").Settings(), 3) == 1683
    assert parameters(find("lbp-top").Settings(), 3) is None
    aman = find("aman")
    whole, head = (parameters(one, 3) for one in (aman.Settings(), aman.recipes["quick"]))
    assert whole is not None and head is not None
    assert whole > 8_000_000 > 10_000 > head > 3 * 513, "layer4 is trained by default, and frozen in `quick`"
