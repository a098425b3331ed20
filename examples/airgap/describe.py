"""Write ``requirements.txt`` (every wheel with its hash) and ``licences.txt`` for a transfer folder.

Usage: ``describe.py FOLDER LOCK``. The lock's own hashes were enforced when the wheels were downloaded; here each
wheel that is really in the folder gets the one hash that the target accepts.
"""

from __future__ import annotations

import hashlib
import re
import sys
import zipfile
from email.parser import HeaderParser
from pathlib import Path


def read_metadata(wheel: Path) -> dict[str, str]:
    """Name, version and licence as the wheel states them."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name))
        headers = HeaderParser().parsestr(archive.read(name).decode("utf-8"))
    classifiers = [
        text.rpartition(" :: ")[2] for text in headers.get_all("Classifier", []) if text.startswith("License")
    ]
    stated = headers["License-Expression"] or (headers["License"] or "").partition("\n")[0] or ", ".join(classifiers)
    return {"name": headers["Name"].lower().replace("_", "-"), "version": headers["Version"], "licence": stated or "?"}


def main() -> None:
    """Describe one folder."""
    folder, lock = Path(sys.argv[1]), Path(sys.argv[2]).read_text(encoding="utf-8")
    locked = set(re.findall(r"^([a-z0-9-]+)==(\S+)", lock, re.MULTILINE))
    requirements, licences = [], []
    for wheel in sorted((folder / "wheels").glob("*.whl")):
        facts = read_metadata(wheel)
        if facts["name"] != "iotonboard" and (facts["name"], facts["version"]) not in locked:
            raise SystemExit(f"describe.py: error: {wheel.name} is not in the lock file")
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        requirements.append(f"{facts['name']}=={facts['version']} --hash=sha256:{digest}\n")
        licences.append(f"{facts['name']} {facts['version']}: {facts['licence']}\n")
    (folder / "requirements.txt").write_text("".join(requirements), encoding="utf-8")
    (folder / "licences.txt").write_text("".join(licences), encoding="utf-8")


if __name__ == "__main__":
    main()
