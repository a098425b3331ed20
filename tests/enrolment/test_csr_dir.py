"""A folder of certificate requests: one device per file, keys stay on the devices."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from support.program import State


def _request(path: str | Path) -> None:
    words = ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    subprocess.run([*words, "-keyout", "/dev/null", "-subj", "/CN=x", "-out", path], check=True, capture_output=True)


def test_each_request_of_a_folder_becomes_a_device(state: State, tmp_path: Path) -> None:
    for name, form in (("press-1.csr", "PEM"), ("press-2.der", "DER")):
        words = ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        words += ["-keyout", tmp_path / "key", "-subj", "/CN=x", "-outform", form, "-out", tmp_path / name]
        subprocess.run(words, check=True, capture_output=True)
    (tmp_path / "press-3.csr").write_text("no request")
    (tmp_path / "bad id.csr").write_text("no request")
    state.run("config", "set", "key_origin", "device")
    result = state.run("register", "--csr-dir", tmp_path, "--json", expect=6)
    made = [one["device_id"] for one in result.json_lines if one["status"] == "created"]
    assert made == ["press-1", "press-2"]
    assert not (state.device("press-1") / "device.key").exists()
    assert "key_origin" not in result.stderr
    assert state.run("register", "press-4").stderr.count("key_origin") == 1
    state.run("register", "--csr-dir", tmp_path / "no", expect=5)
    state.run("register", "press-5", "--csr-dir", tmp_path, expect=2)


def test_a_stick_from_the_line(state: State, tmp_path: Path) -> None:
    """Usual endings are taken; a Mac's files, folders and notes are passed over, and said."""
    for name in ("d-1.csr", "d-2.req", "d-3.csr.pem", "d-4.CSR", "d-5.p10", "d-6.pem", "d.7.csr"):
        _request(tmp_path / name)
    (tmp_path / "._d-1.csr").write_bytes(b"\x00\x05\x16\x07")
    (tmp_path / "notes.txt").touch()
    (tmp_path / "more.csr").mkdir()
    result = state.run("register", "--csr-dir", tmp_path, "--json")
    made = [one["device_id"] for one in result.json_lines]
    assert made == ["d-1", "d-2", "d-3", "d-4", "d-5", "d-6", "d.7"]
    assert "passed over" in result.stderr
    assert all(name in result.stderr for name in ("'._d-1.csr'", "'more.csr'", "'notes.txt'"))


def test_two_files_for_one_device(state: State, tmp_path: Path) -> None:
    """Whichever key were certified, the other would be lost."""
    _request(tmp_path / "d-1.csr")
    _request(tmp_path / "D-1.pem")
    result = state.run("register", "--csr-dir", tmp_path, "--if-exists", "skip", expect=6)
    assert "are for one device" in result.stderr


def test_a_name_that_is_no_text_harms_no_other(state: State, tmp_path: Path) -> None:
    for name in (b"a-1.csr", b"ger\xe4t-1.csr", b"z-9.csr"):
        _request(os.path.join(str(tmp_path), os.fsdecode(name)))
    os.mkfifo(tmp_path / "m-5.csr")
    result = state.run("register", "--csr-dir", tmp_path, "--json", expect=6)
    assert [one["device_id"] for one in result.json_lines if one["status"] == "created"] == ["a-1", "z-9"]
    assert "rename the file" in result.stderr
    assert "a FIFO, not a file" in result.stderr
