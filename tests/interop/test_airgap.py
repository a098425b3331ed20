"""The transfer folder: built twice the same, installed with the network cut off, refused when it was changed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.program import PROJECT

BUILD = PROJECT / "examples" / "airgap" / "build.sh"
LOCK = PROJECT / "examples" / "airgap" / "requirements.lock"


def build(out: Path) -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    words = [BUILD, out, version, os.uname().machine]
    done = subprocess.run(words, capture_output=True, text=True, env=clean(), timeout=600, check=False)
    if (
        done.returncode
        and "CI" not in os.environ
        and re.search(r"connection|resolve|No matching", done.stderr, re.IGNORECASE)
    ):
        pytest.skip(f"no package registry to build from: {done.stderr[-200:]}")
    assert done.returncode == 0, done.stderr


def clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("git") is None or sys.platform != "linux" or os.uname().machine not in {"x86_64", "aarch64"}:
        pytest.skip("the transfer folder is built on Linux with git")
    out = tmp_path_factory.mktemp("airgap") / "folder"
    build(out)
    return out


def install(folder: Path, target: Path, *, expect: int = 0) -> subprocess.CompletedProcess[str]:
    """Run install.sh where no network is; in a network namespace of its own where that is permitted."""
    words = ["unshare", "--net", folder / "install.sh", target]
    if subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode:
        pytest.skip("network namespaces are not permitted here")
    done = subprocess.run(words, capture_output=True, text=True, env=clean(), timeout=300, check=False)
    assert (done.returncode == 0) == (expect == 0), done.stderr
    return done


def test_installs_with_the_network_cut_off(folder: Path, tmp_path: Path) -> None:
    done = install(folder, tmp_path / "target")
    assert "every check" in done.stdout
    site = next((tmp_path / "target" / "lib").glob("python3.*")) / "site-packages"
    sources = [path for name in ("iotonboard", "typer", "cryptography") for path in (site / name).rglob("*.py")]
    assert sources
    assert not [path for path in sources if not list(path.parent.glob(f"__pycache__/{path.stem}.*.pyc"))]


def test_two_builds_are_the_same(folder: Path, tmp_path: Path) -> None:
    build(tmp_path / "again")
    assert (tmp_path / "again" / "SHA256SUMS").read_text() == (folder / "SHA256SUMS").read_text()


def test_a_changed_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    for name, change in {
        "octet": lambda copy: next((copy / "wheels").glob("rich*")).write_bytes(b"x"),
        "stranger": lambda copy: (copy / "wheels" / "evil-1.0-py3-none-any.whl").write_bytes(b"x"),
        "missing": lambda copy: next((copy / "wheels").glob("typer*")).unlink(),
    }.items():
        copy = tmp_path / name
        shutil.copytree(folder, copy)
        change(copy)
        assert "do not install" in install(copy, tmp_path / f"{name}-target", expect=1).stderr
        assert not (tmp_path / f"{name}-target").exists()


def test_every_part_is_named_with_hash_and_licence(folder: Path) -> None:
    requirements = (folder / "requirements.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[a-z0-9-]+==\S+ --hash=sha256:[0-9a-f]{64}", line) for line in requirements)
    assert len(requirements) == len(list((folder / "wheels").iterdir()))
    licences = (folder / "licences.txt").read_text().splitlines()
    assert len(licences) == len(requirements)
    assert not [line for line in licences if line.endswith("?")]
    sbom = json.loads((folder / "sbom.json").read_text())
    assert sbom["bomFormat"] == "CycloneDX"
    assert {component["name"] for component in sbom["components"]} == {line.partition("==")[0] for line in requirements}
    assert all(component["version"] for component in sbom["components"])


def test_the_lock_names_every_runtime_dependency() -> None:
    locked = set(re.findall(r"^([a-z0-9-]+)==", LOCK.read_text(), re.MULTILINE))
    assert {"typer", "cryptography", "rich", "pyzipper", "tomli-w"} <= locked
