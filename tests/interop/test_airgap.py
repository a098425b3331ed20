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
PAGE = PROJECT / "iotonboard" / "guide" / "air-gap.md"
LOCKS = ("requirements.lock", "labels.lock")
LABELS = {"segno", "fpdf2", "pillow", "defusedxml", "fonttools"}
LOCK = PROJECT / "examples" / "airgap" / "requirements.lock"


def build(out: Path, *options: str) -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    words = [BUILD, out, *options, version, os.uname().machine]
    done = subprocess.run(words, capture_output=True, text=True, env=clean(), timeout=600, check=False)
    if (
        done.returncode
        and "CI" not in os.environ
        and re.search(r"connection|resolve|No matching", done.stderr, re.IGNORECASE)
    ):
        pytest.skip(f"no package registry to build from: {done.stderr[-200:]}")
    assert done.returncode == 0, done.stderr


def documented(command: str) -> str:
    """The lines of the guide that hold a command."""
    (found,) = (block for block in re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL) if command in block)
    return found


def sign(folder: Path, place: Path) -> Path:
    """Sign a folder as the guide says, with a new key below ``place``; the file that names who may sign."""
    need("ssh-keygen")
    (folder / "SHA256SUMS.sig").unlink(missing_ok=True)
    place.mkdir()
    make = documented("-t ed25519").replace("-f release-key", "-N '' -q -f release-key")
    lines = make + documented("-Y sign").replace("/media/usb/iotonboard", str(folder))
    subprocess.run(["/bin/sh", "-ec", lines], cwd=place, check=True, capture_output=True, timeout=60)
    return place / "iotonboard-signers"


def verified_install(folder: Path, home: Path, *before: str) -> subprocess.CompletedProcess[str]:
    """What the guide says to type on the machine without a network, below a home with the file of the signers."""
    lines = documented("-Y verify").replace("/media/usb/iotonboard", str(folder))
    words = [*before, "/bin/sh", "-ec", lines]
    environment = {**clean(), "HOME": str(home)}
    return subprocess.run(words, capture_output=True, text=True, env=environment, timeout=300, check=False)


def clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if sys.platform != "linux" or os.uname().machine not in {"x86_64", "aarch64"}:
        pytest.skip("the transfer folder is built on Linux")
    need("git")
    out = tmp_path_factory.mktemp("airgap") / "folder"
    build(out, "--labels")  # all that there is; without it some wheels are not there
    sign(out, out.parent / "signer")
    return out


@pytest.fixture
def home(folder: Path, tmp_path: Path) -> Path:
    """A home on the offline machine, to which the file of the signers was carried."""
    (tmp_path / "home").mkdir()
    shutil.copy(folder.parent / "signer" / "iotonboard-signers", tmp_path / "home")
    return tmp_path / "home"


def install(folder: Path, target: Path, *, expect: int = 0) -> subprocess.CompletedProcess[str]:
    """Run install.sh where no network is; in a network namespace of its own where that is permitted."""
    words = ["unshare", "--net", folder / "install.sh", target]
    if subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode:
        pytest.skip("network namespaces are not permitted here")
    done = subprocess.run(words, capture_output=True, text=True, env=clean(), timeout=300, check=False)
    assert (done.returncode == 0) == (expect == 0), done.stderr
    return done


def test_installs_with_the_network_cut_off(folder: Path, home: Path) -> None:
    """As the guide says, with the signature verified before."""
    if subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode:
        pytest.skip("network namespaces are not permitted here")
    done = verified_install(folder, home, "unshare", "--net")
    assert done.returncode == 0, done.stderr
    assert 'Good "iotonboard" signature for release' in done.stdout
    assert "every check" in done.stdout
    assert "tried: labels" in done.stdout
    site = next((home / "iotonboard-new" / "lib").glob("python3.*")) / "site-packages"
    sources = [path for name in ("iotonboard", "typer", "cryptography") for path in (site / name).rglob("*.py")]
    assert sources
    assert not [path for path in sources if not list(path.parent.glob(f"__pycache__/{path.stem}.*.pyc"))]


def list_anew(copy: Path) -> None:
    """Make the list of all files fit, as whoever changed one of them can."""
    names = sorted(path.relative_to(copy) for path in copy.rglob("*") if path.is_file() and "SHA256" not in path.name)
    sums = [f"{hashlib.sha256((copy / name).read_bytes()).hexdigest()}  ./{name}\n" for name in names]
    (copy / "SHA256SUMS").write_text("".join(sums))


def resign(copy: Path, key: Path, purpose: str = "iotonboard") -> None:
    """Sign what is there now, with any key, for any purpose."""
    list_anew(copy)
    (copy / "SHA256SUMS.sig").unlink(missing_ok=True)
    words = ["ssh-keygen", "-Y", "sign", "-q", "-f", key, "-n", purpose, copy / "SHA256SUMS"]
    subprocess.run(words, check=True, timeout=60)


CHANGED = {
    "no signature": lambda copy, _: (copy / "SHA256SUMS.sig").unlink(),
    "a file": lambda _copy, _: None,
    "a file and the list": lambda copy, _: list_anew(copy),
    "signed by another": lambda copy, signer: resign(
        copy, sign(copy, signer.parent / "other").with_name("release-key")
    ),
    "signed for something else": lambda copy, signer: resign(copy, signer / "release-key", "file"),
}


@pytest.mark.parametrize("name", CHANGED)
def test_nothing_of_a_folder_runs_that_was_not_signed_as_it_is(
    folder: Path, home: Path, tmp_path: Path, name: str
) -> None:
    """The installer itself comes with the folder: one that was exchanged is never started."""
    copy, signer = tmp_path / "folder", tmp_path / "signer"
    shutil.copytree(folder, copy)
    shutil.copytree(folder.parent / "signer", signer)
    (copy / "install.sh").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    CHANGED[name](copy, signer)
    assert verified_install(copy, home).returncode != 0
    assert not (tmp_path / "ran").exists()
    shutil.rmtree(home / "iotonboard-folder")
    resign(copy, signer / "release-key")
    assert verified_install(copy, home).returncode == 0
    assert (tmp_path / "ran").exists()


def test_an_option_that_there_is_not_is_refused(tmp_path: Path) -> None:
    done = subprocess.run([BUILD, tmp_path / "folder", "--label"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no option '--label'" in done.stderr
    assert not (tmp_path / "folder").exists()


def test_two_builds_are_the_same(folder: Path, tmp_path: Path) -> None:
    build(tmp_path / "again", "--labels")
    assert (tmp_path / "again" / "SHA256SUMS").read_text() == (folder / "SHA256SUMS").read_text()


def test_a_changed_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    for name, change in {
        "octet": lambda copy: next((copy / "wheels").glob("rich*")).write_bytes(b"x"),
        "stranger": lambda copy: (copy / "wheels" / "evil-1.0-py3-none-any.whl").write_bytes(b"x"),
        "nested list": lambda copy: (copy / "wheels" / "SHA256SUMS").write_bytes(b"x"),
        "link": lambda copy: (copy / "wheels" / "evil-1.0-py3-none-any.whl").symlink_to("/etc/hostname"),
        "missing": lambda copy: next((copy / "wheels").glob("typer*")).unlink(),
    }.items():
        copy = tmp_path / name
        shutil.copytree(folder, copy)
        change(copy)
        assert "do not install" in install(copy, tmp_path / f"{name}-target", expect=1).stderr
        assert not (tmp_path / f"{name}-target").exists()


def test_every_part_is_named_with_hash_and_licence(folder: Path) -> None:
    requirements = (folder / "requirements.txt").read_text().splitlines()
    assert {line.partition("==")[0] for line in requirements} >= LABELS
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
        list_anew(copy)
        assert said in install(copy, tmp_path / "target", expect=1).stderr
        assert not (tmp_path / "target").exists()


def test_the_lock_names_every_runtime_dependency() -> None:
    locked = set(re.findall(r"^([a-z0-9-]+)==", LOCK.read_text(), re.MULTILINE))
    assert {"typer", "cryptography", "rich", "pyzipper", "tomli-w"} <= locked
    pinned = {name: re.findall(r"^([a-z0-9-]+==\S+)", LOCK.with_name(name).read_text(), re.MULTILINE) for name in LOCKS}
    assert set(pinned["requirements.lock"]) <= set(pinned["labels.lock"])
    assert {"segno", "fpdf2", "pillow"} <= {one.partition("==")[0] for one in pinned["labels.lock"]}
    for lock in map(LOCK.with_name, (*LOCKS, "build.lock")):
        parts = re.split(r"^(?=[a-z])", lock.read_text(), flags=re.MULTILINE)[1:]
        assert all("==" in one and "--hash=sha256:" in one for one in parts)
    assert "hatchling==" in LOCK.with_name("build.lock").read_text()
