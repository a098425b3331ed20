"""The plant whose database is edited by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.program import State
from support.tampering import make_plant


@pytest.fixture(scope="session")
def whole_plant(pristine: State, tmp_path_factory: pytest.TempPathFactory) -> State:
    """Read only: copy it, or use ``plant``."""
    return make_plant(pristine, tmp_path_factory.mktemp("plant"))


@pytest.fixture
def plant(whole_plant: State, tmp_path: Path) -> State:
    """A plant of the test's own, with a row in every table."""
    return whole_plant.copy_to(tmp_path)
