"""A clip that two sheets of one release name, each as a clip of another part."""

from dataclasses import replace

import pytest

from aman.databases.further.dfme import name_of
from aman.databases.reading.rows import Entry, once

CELLS = {"Subject": "sub0003", "Filename": "sub0003_04"}


def test_a_clip_of_training_and_of_a_test_set_is_used_in_neither() -> None:
    """Equal rows in both sheets would let a training see a clip that is predicted."""
    first = Entry(name=name_of(CELLS), label="fear", file="train.xlsx", row=5, cells=CELLS, part="training")
    other = replace(first, file="testA.xlsx", row=2, part="test A")
    kept, (problem,) = once([first, other])
    assert kept == []
    assert "in row 5 of train.xlsx too, as part of training there and of test A here" in problem.what
    again = replace(first, row=6)
    kept, (problem,) = once([first, again])
    assert kept == [first]
    assert problem.what.endswith("is listed twice, in row 5 too")


@pytest.mark.parametrize(("subject", "said"), [("", "names nobody"), ("sub0004", "which is another's")])
def test_a_row_says_what_is_wrong_with_its_subject(subject: str, said: str) -> None:
    """An empty cell is nobody, not another subject."""
    with pytest.raises(ValueError, match=said):
        name_of({**CELLS, "Subject": subject})
