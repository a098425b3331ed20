"""Hand edits of the database, and that the deep inspection finds each."""

from __future__ import annotations

import pytest

from support.program import State
from support.tampering import EDITS, edit, found


def test_the_plant_has_a_row_in_every_table_and_no_difference(plant: State) -> None:
    assert found(plant) == []


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_is_found(plant: State, name: str) -> None:
    change, words = EDITS[name]
    edit(plant, change)
    differences = found(plant)
    assert any(words in one for one in differences), differences
