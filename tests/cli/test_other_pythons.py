"""The program on every Python that the project names, where an interpreter is there."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from support.program import PROJECT

METADATA = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
VERSIONS = [found[1] for each in METADATA["classifiers"] if (found := re.fullmatch(r".*:: Python :: (3\.\d+)", each))]
COMPILE = """
import pathlib, sys, warnings
warnings.simplefilter("error")
for path in pathlib.Path(sys.argv[1]).rglob("*.py"):
    compile(path.read_bytes(), path, "exec", dont_inherit=True)
"""


def interpreter(version: str) -> str:
    kept = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    for path in (*map(str, kept), shutil.which(f"python{version}")):
        if path and subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0:
            return path
    pytest.skip(f"there is no Python {version} here")


def test_the_versions_are_named() -> None:
    assert VERSIONS == ["3.11", "3.12", "3.13", "3.14"]
    assert METADATA["requires-python"] == ">=3.11"


@pytest.mark.parametrize("version", VERSIONS)
def test_every_file_is_python_there_without_a_warning(version: str) -> None:
    subprocess.run([interpreter(version), "-c", COMPILE, PROJECT / "iotonboard"], check=True, timeout=120)


@pytest.mark.long
@pytest.mark.parametrize("version", VERSIONS)
def test_a_life_there(version: str, tmp_path: Path) -> None:
    """Installed as people do it; from the network, or from what pip has kept."""
    subprocess.run([interpreter(version), "-m", "venv", tmp_path / "env"], check=True)
    program = tmp_path / "env" / "bin"
    subprocess.run([program / "pip", "install", "--quiet", PROJECT], check=True, timeout=600)
    general = ["--state", tmp_path / "state", "--passphrase-file", tmp_path / "key"]

    def run(*words: str | Path) -> str:
        done = subprocess.run([program / "iotonboard", *words], check=True, capture_output=True, text=True)
        return done.stdout

    run("init-ca", "--generate-key-file", tmp_path / "key", "--state", tmp_path / "state")
    for words in (("register", "press-17", "oven-4"), ("revoke", "press-17"), ("gen-crl",), ("health", "--deep")):
        run(*words, *general)
    run("export", "oven-4", "--format", "p12", "--out", tmp_path / "oven-4.p12", *general)
    assert "oven-4\tactive" in run("list", *general)
