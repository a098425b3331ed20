"""What the tests of an office share: both engines of its registry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from support.offices import Office, make_office
from support.postgres import Server, serve


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    with serve() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty registry; empty for the one in the office's folder."""
    return str(request.getfixturevalue("postgres").new_database()) if request.param == "postgresql" else ""


@pytest.fixture
def office(url: str, tmp_path: Path) -> Office:
    return make_office(tmp_path / "hq", url)


@pytest.fixture
def make(url: str) -> Callable[[Path], Office]:
    return partial(make_office, url=url)
