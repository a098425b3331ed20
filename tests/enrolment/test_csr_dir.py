"""A folder of certificate requests: one device per file, keys stay on the devices."""

from __future__ import annotations

import subprocess
from pathlib import Path

from support.program import State


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
