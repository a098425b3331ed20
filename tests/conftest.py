"""Options and fixtures that every test shares."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.broker import BROKER_NAMES, Broker
from support.launcher import Launcher
from support.program import State, make_state

PLAIN_NAMES = (
    "DATABASE_URL",
    "CERT_VALIDITY_DAYS",
    "CA_ROOT_PATH",
    "BROKER_ACL_FILE",
    "DOWNLOAD_EXPIRY_MINUTES",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the long versions of the tests too")
    parser.addoption("--rewrite", action="store_true", help="write what the run-book prints into the guide")


_MEMORY = "/dev/shm"
_ENOUGH = 2 << 30


def pytest_configure(config: pytest.Config) -> None:
    is_long = config.getoption("--long")
    Launcher.forks = not is_long
    if not is_long and _is_roomy(_MEMORY):
        # A call syncs a dozen files: on a disk it waits for that longer than for all else. The long version waits.
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", _MEMORY)
        os.environ.setdefault("TMPDIR", _MEMORY)
        tempfile.tempdir = None


def _is_roomy(folder: str) -> bool:
    """Whether a folder is there that takes all files of the tests, programs too."""
    try:
        found = os.statvfs(folder)
    except (AttributeError, OSError):
        return False
    return found.f_bavail * found.f_frsize > _ENOUGH and not found.f_flag & os.ST_NOEXEC and os.access(folder, os.W_OK)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--long"):
        return
    skip = pytest.mark.skip(reason="long; run with --long")
    for item in items:
        if "long" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session", autouse=True)
def _clean_environment() -> Iterator[None]:
    """No setting of the person who runs the tests reaches the program."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("IOTONBOARD", "_IOTONBOARD")) or name in PLAIN_NAMES:
                patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> State:
    """A state fresh from ``init-ca`` with a random key file. Read only: copy it, or use ``state``."""
    return make_state(tmp_path_factory.mktemp("pristine"))


@pytest.fixture(scope="session")
def server(pristine: State, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A broker's certificate and key, plain, under the names that ``support.listeners`` gives them."""
    state = pristine.copy_to(tmp_path_factory.mktemp("server"))
    folder = Path(state.json("broker", "issue", *BROKER_NAMES, "--plain-key")["config"]).parent
    return {
        "broker.crt": (folder / "broker.crt").read_bytes(),
        "broker.key": (folder / "broker-plain.key").read_bytes(),
    }


@pytest.fixture
def state(pristine: State, tmp_path: Path) -> State:
    """A state of the test's own, with a CA and no devices."""
    return pristine.copy_to(tmp_path)


@pytest.fixture
def start_broker(tmp_path: Path) -> Iterator:
    """Start real brokers; they end with the test."""
    brokers: list[Broker] = []

    def start(state: State, **options: object) -> Broker:
        broker = Broker(state, tmp_path / f"broker-{len(brokers)}", **options)
        brokers.append(broker)
        broker.start()
        return broker

    yield start
    for broker in brokers:
        broker.stop()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user can reach: those of pytest are root's alone."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)
