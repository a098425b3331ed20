"""What the tests of an office share: both engines of its registry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from support.offices import Office, make_office
from support.postgres import Server, serve
from support.program import State, make_state


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


@pytest.fixture(scope="session")
def station(tmp_path_factory: pytest.TempPathFactory) -> State:
    """A station with four devices, one of them revoked and one on hold; whoever changes it copies it first."""
    state = make_state(tmp_path_factory.mktemp("line7"))
    state.register("press-1", "press-2", "Press-3", "press-4")
    state.run("revoke", "press-2", "--reason", "keyCompromise")
    state.run("revoke", "press-4", "--reason", "hold")
    return state


@pytest.fixture(scope="session")
def other_station(tmp_path_factory: pytest.TempPathFactory) -> State:
    """Another one, which has a device with the same name as one of ``station``'s, but for the case of letters."""
    state = make_state(tmp_path_factory.mktemp("line8"), "--common-name", "Line 8")
    state.register("PRESS-1", "oven-1")
    return state
