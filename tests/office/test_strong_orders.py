"""The strong form of an order: a station's CA that ends with it, and is certified for long once its journal is back."""

from __future__ import annotations

import subprocess
from pathlib import Path

from support.program import State, make_state


def certify(root: State, station: State, folder: Path, days: int) -> None:
    """The root certifies the station's CA, of one and the same key, for so many days."""
    request, answer = folder / f"{days}.csr", folder / f"{days}.answer"
    digest = station.json("ca", "request", "--out", request)["request_sha256"]
    root.run("ca", "sign", request, "--out", answer, "--validity-days", str(days), "--digest", digest)
    fingerprint = root.json("ca", "status")["ca_fingerprint"]
    station.run("ca", "install", answer, "--fingerprint", fingerprint)


def test_a_ca_that_ends_with_the_order_makes_nothing_that_lasts_longer(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    root = make_state(tmp_path / "root", "--root")
    station = make_state(tmp_path, "--below-root", "--common-name", "Line 7")
    certify(root, station, tmp_path, 10)
    assert "would outlive its CA" in station.run("register", "press-1", expect=6).stderr
    made = station.run("register", "press-1", "--validity-days", "9", "--json").json
    certify(root, station, tmp_path, 1825)  # the same key: the journal was taken, and the order is paid
    shown = station.json("show", "press-1")["certificates"][0]
    assert (shown["not_after"], shown["status"]) == (made["not_after"], "active")
    chain = station.certs / "ca.crt"
    device = station.device("press-1") / "device.crt"
    words = ["openssl", "verify", "-CAfile", chain, "-untrusted", chain, device]
    assert subprocess.run(words, check=False, capture_output=True, timeout=30).returncode == 0
    renewed = station.run("renew", "press-1", "--json").json
    assert renewed["not_after"] > made["not_after"]
