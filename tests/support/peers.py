"""Python programs of others, each kept in one environment of its own and never a dependency."""

from __future__ import annotations

import subprocess
import sys
import time
import venv
from pathlib import Path

from support.tools import missing

_FOLDER = Path(__file__).parents[2] / ".venv-peers" / "formats"
# esp-secure-cert-tool brings esp-idf-nvs-partition-gen. Without their dependencies: nrfcloud-utils and its
# nrfcredstore ask for a debug probe's library of 130 MB that the parts used here do not import.
_WITH_DEPENDENCIES = (
    "esp-secure-cert-tool>=2.6,<3",
    "esp-idf-nvs-partition-gen>=0.3,<1",
    "coloredlogs",
    "requests",
)
_WITHOUT_DEPENDENCIES = ("nrfcloud-utils>=3.3,<4", "nrfcredstore>=2.1,<3")
_STAMP = "ready"
_PATIENCE_S = 300


def need_peers() -> Path:
    """The Python interpreter of the environment, made on first use; skips where that is not possible."""
    failure = _FOLDER.with_suffix(".failed")
    stamp = _FOLDER / _STAMP
    wanted = repr((_WITH_DEPENDENCIES, _WITHOUT_DEPENDENCIES, sys.version))
    if not (stamp.exists() and stamp.read_text() == wanted) and not _is_recent(failure):
        _make_once(stamp, wanted, failure)
    if failure.exists():
        missing(f"the peers from PyPI could not be installed: {failure.read_text()}")
    return _python()


def _is_recent(failure: Path) -> bool:
    """One failed attempt is enough for all tests of a run."""
    return failure.exists() and time.time() - failure.stat().st_mtime < _PATIENCE_S


def _python() -> Path:
    return next(path for path in (_FOLDER / "bin/python", _FOLDER / "Scripts/python.exe") if path.exists())


def _make_once(stamp: Path, wanted: str, failure: Path) -> None:
    """Let one of the parallel test processes install; the others wait for it."""
    lock = _FOLDER.with_suffix(".lock")
    lock.parent.mkdir(exist_ok=True)
    try:
        lock.mkdir()
    except FileExistsError:
        # A lock older than the patience was left behind by a run that was killed.
        if time.time() - lock.stat().st_mtime > _PATIENCE_S:
            lock.rmdir()
            _make_once(stamp, wanted, failure)
            return
        deadline = time.monotonic() + _PATIENCE_S
        while lock.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        return
    try:
        failure.unlink(missing_ok=True)
        if not (stamp.exists() and stamp.read_text() == wanted):
            _install()
            stamp.write_text(wanted)
    except (subprocess.SubprocessError, OSError) as error:
        output = getattr(error, "stderr", b"") or str(error).encode()
        failure.write_text(output.decode(errors="replace").strip().splitlines()[-1])
    finally:
        lock.rmdir()


def _install() -> None:
    venv.create(_FOLDER, clear=True, with_pip=True)
    pip = [str(_python()), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *_WITH_DEPENDENCIES], check=True, capture_output=True, timeout=_PATIENCE_S)
    subprocess.run([*pip, "--no-deps", *_WITHOUT_DEPENDENCIES], check=True, capture_output=True, timeout=_PATIENCE_S)
