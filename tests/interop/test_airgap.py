"""The transfer folder: built twice the same, installed with the network cut off, refused when it was changed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.program import PROJECT
from support.tools import need, need_module

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
    if sys.platform != "linux" or os.uname().machine not in {"x86_64", "aarch64"}:
        pytest.skip("the transfer folder is built on Linux")
    need("git")
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
    hashes = {line.partition("==")[0]: line.rpartition(":")[2] for line in requirements}
    sbom = json.loads((folder / "sbom.json").read_text())
    assert sbom["bomFormat"] == "CycloneDX"
    assert {one["name"]: one["hashes"][0]["content"] for one in sbom["components"]} == hashes
    assert all(one["version"] and one["licenses"] for one in sbom["components"])


def test_the_sbom_is_cyclonedx(folder: Path) -> None:
    """By the schema of its standard."""
    schema = need_module("cyclonedx.schema")
    validation = need_module("cyclonedx.validation.json")
    validator = validation.JsonStrictValidator(schema.SchemaVersion.V1_6)
    assert validator.validate_str((folder / "sbom.json").read_text()) is None
    assert validator.validate_str((folder / "sbom.json").read_text().replace("library", "libary")) is not None


def test_a_folder_for_another_machine_is_refused_before_anything_is_made(folder: Path, tmp_path: Path) -> None:
    for number, (wrong, said) in enumerate({"3.99 x86_64": "no Python 3.99", "3.11 vax": "is for vax"}.items()):
        copy = tmp_path / str(number)
        shutil.copytree(folder, copy)
        (copy / "target").write_text(wrong.replace("x86_64", os.uname().machine) + "\n")
        names = sorted(
            path.relative_to(copy) for path in copy.rglob("*") if path.is_file() and path.name != "SHA256SUMS"
        )
        sums = [f"{hashlib.sha256((copy / name).read_bytes()).hexdigest()}  ./{name}\n" for name in names]
        (copy / "SHA256SUMS").write_text("".join(sums))
        assert said in install(copy, tmp_path / "target", expect=1).stderr
        assert not (tmp_path / "target").exists()


def test_the_lock_names_every_runtime_dependency() -> None:
    locked = set(re.findall(r"^([a-z0-9-]+)==", LOCK.read_text(), re.MULTILINE))
    assert {"typer", "cryptography", "rich", "pyzipper", "tomli-w"} <= locked
    for lock in (LOCK, LOCK.with_name("build.lock")):
        pinned = re.split(r"^(?=[a-z])", lock.read_text(), flags=re.MULTILINE)[1:]
        assert all("==" in one and "--hash=sha256:" in one for one in pinned)
    assert "hatchling==" in LOCK.with_name("build.lock").read_text()
