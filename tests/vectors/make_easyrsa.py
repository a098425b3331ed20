"""Make the fleet of an easy-rsa PKI: ``easyrsa.tar.xz`` beside this file. Wants easy-rsa 3 and faketime.

    python tests/vectors/make_easyrsa.py

It takes a quarter of a second per device, so a test unpacks it; the long version of that test makes a larger one anew.
"""

from __future__ import annotations

import sys
import tarfile
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[2])]

from support.easyrsa import COUNT, VECTOR, make  # noqa: E402 - the path is set above


def main() -> None:
    """Run it once; what easy-rsa keeps for itself alone is left out."""
    with tempfile.TemporaryDirectory() as folder:
        pki = make(Path(folder) / "pki", COUNT).folder
        wanted = ("ca.crt", "crl.pem", "index.txt", "serial", "private/*", "issued/*", "certs_by_serial/*",
                  "revoked/certs_by_serial/*")  # fmt: skip
        with tarfile.open(VECTOR, "w:xz") as archive:
            for pattern in wanted:
                for file in sorted(pki.glob(pattern)):
                    archive.add(file, Path("pki") / file.relative_to(pki))


if __name__ == "__main__":
    main()
