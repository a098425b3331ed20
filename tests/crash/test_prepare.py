"""``apply --prepare`` killed at every step: the same command makes a request for the one key that there is."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from support.faults import KILLED, die_at
from support.program import run_cli

_MOST_STEPS = 200


def test_prepare_killed_at_every_step(tmp_path: Path) -> None:
    killed = 0
    for step in range(1, _MOST_STEPS):
        folder = tmp_path / str(step) / "broker"
        folder.parent.mkdir()
        words = ("apply", "--prepare", folder, "broker.test", "--user", "root")
        if run_cli(*words, before=die_at(step), expect=(0, KILLED)).exit_code == 0:
            break
        killed += 1
        key = folder / "broker.key"
        before = key.read_bytes() if key.exists() else None
        run_cli(*words)
        assert before in (None, key.read_bytes())
        request = x509.load_pem_x509_csr((folder / "broker.csr").read_bytes())
        assert request.is_signature_valid
        assert request.public_key() == load_pem_private_key(key.read_bytes(), None).public_key()
        assert key.stat().st_mode & 0o777 == 0o600
        assert {path.name for path in folder.iterdir()} == {"broker.key", "broker.csr"}
    assert killed >= 3
