"""One reader for certificate files and one for requests, whichever verb is given them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from support.program import State


@pytest.fixture
def forms(state: State, tmp_path: Path) -> list[Path]:
    """One device's certificate as DER, with blanks at line ends, with text around it, and with its chain."""
    state.register("d-1")
    certificate = state.device("d-1") / "device.crt"
    pem = certificate.read_text()
    contents = {
        "blanks.pem": pem.replace("\n", " \n"),
        "text.pem": f"the device of hall 3\n{pem}that was it\n",
        "chain.pem": (state.device("d-1") / "device.key").read_text() + pem + state.ca_cert.read_text(),
    }
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
    subprocess.run(["openssl", "x509", "-in", certificate, "-outform", "DER", "-out", tmp_path / "d.der"], check=True)
    return [certificate, tmp_path / "d.der", *(tmp_path / name for name in contents)]


def test_every_verb_takes_every_form(state: State, forms: list[Path], tmp_path: Path) -> None:
    for path in forms:
        judged = state.json("verify", "--cert", path)
        assert [one["device_id"] for one in judged["devices"]] == ["d-1"], path
    state.run("pack", "--out", tmp_path / "package")
    subprocess.run(
        ["openssl", "x509", "-in", state.ca_cert, "-outform", "DER", "-out", tmp_path / "ca.der"], check=True
    )
    for number, ca in enumerate((state.ca_cert, tmp_path / "ca.der", tmp_path / "chain.pem")):
        (tmp_path / str(number)).mkdir()
        words = ("--ca", ca, "--dest", tmp_path / str(number), "--user", "0")
        state.run("apply", tmp_path / "package", *words)
    for path in forms:
        assert state.json("revoke", "--cert", path, "--defer")["device_id"] == "d-1", path


def test_every_certificate_of_a_file_is_meant(state: State, tmp_path: Path) -> None:
    state.register("d-1", "d-2", "d-3")
    three = tmp_path / "three.pem"
    three.write_bytes(b"".join((state.device(f"d-{n}") / "device.crt").read_bytes() for n in (1, 2, 3)))
    judged = state.json("verify", "--cert", three)
    assert [one["device_id"] for one in judged["devices"]] == ["d-1", "d-2", "d-3"]
    answers = state.run("revoke", "--cert", three, "--cert", three, "--json").json_lines
    assert [one["device_id"] for one in answers] == ["d-1", "d-2", "d-3"]
    assert {one["status"] for one in state.run("list", "--json").json_lines} == {"revoked"}


def test_a_foreign_certificate_is_refused_alone(state: State, tmp_path: Path) -> None:
    state.register("d-1")
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj"]
    words += [
        "/CN=b",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
        "-keyout",
        tmp_path / "k",
        "-out",
        tmp_path / "c",
    ]
    subprocess.run(words, check=True, capture_output=True)
    both = tmp_path / "both.pem"
    both.write_bytes((state.device("d-1") / "device.crt").read_bytes() + (tmp_path / "c").read_bytes())
    assert "did not issue" in state.run("revoke", "--cert", both, expect=6).stderr
    assert state.json("show", "d-1")["status"] == "revoked"


def test_a_device_signs_no_package(state: State, tmp_path: Path) -> None:
    """Its certificate in the file that names the CAs makes it none."""
    state.register("d-1")
    state.run("pack", "--out", tmp_path / "package")
    certificate = state.device("d-1") / "device.crt"
    said = state.run("apply", tmp_path / "package", "--ca", certificate, "--dest", tmp_path, expect=6).stderr
    assert "no CA certificate" in said
