"""Write ``requirements.txt`` (every wheel with its hash), ``licences.txt`` and ``sbom.json`` for a transfer folder.

Usage: ``describe.py FOLDER LOCK``. The lock's own hashes were enforced when the wheels were downloaded; here each
wheel that is really in the folder gets the one hash that the target accepts.
"""

from __future__ import annotations

import hashlib
import json
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
    return {
        "name": headers["Name"].lower().replace("_", "-"),
        "version": headers["Version"],
        "licence": stated or "?",
        "expression": headers["License-Expression"] or "",
    }


def component(facts: dict[str, str], digest: str) -> dict[str, object]:
    """One wheel as the SBOM names it."""
    purl = f"pkg:pypi/{facts['name']}@{facts['version']}"
    licence = {"expression": facts["expression"]} if facts["expression"] else {"license": {"name": facts["licence"]}}
    return {
        "type": "application" if facts["name"] == "iotonboard" else "library",
        "bom-ref": purl,
        "name": facts["name"],
        "version": facts["version"],
        "hashes": [{"alg": "SHA-256", "content": digest}],
        "licenses": [licence],
        "purl": purl,
    }


def bill(components: list[dict[str, object]]) -> dict[str, object]:
    """The SBOM (CycloneDX 1.6, ECMA-424), without a time or a random number: two builds write the same."""
    (version,) = [each["version"] for each in components if each["name"] == "iotonboard"]
    folder = {"type": "application", "bom-ref": "folder", "name": "iotonboard-transfer-folder", "version": version}
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": folder},
        "components": components,
    }


def main() -> None:
    """Describe one folder."""
    folder, lock = Path(sys.argv[1]), Path(sys.argv[2]).read_text(encoding="utf-8")
    locked = set(re.findall(r"^([a-z0-9-]+)==(\S+)", lock, re.MULTILINE))
    requirements, licences, components = [], [], []
    for wheel in sorted((folder / "wheels").glob("*.whl")):
        facts = read_metadata(wheel)
        if facts["name"] != "iotonboard" and (facts["name"], facts["version"]) not in locked:
            raise SystemExit(f"describe.py: error: {wheel.name} is not in the lock file")
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        requirements.append(f"{facts['name']}=={facts['version']} --hash=sha256:{digest}\n")
        licences.append(f"{facts['name']} {facts['version']}: {facts['licence']}\n")
        components.append(component(facts, digest))
    (folder / "requirements.txt").write_text("".join(requirements), encoding="utf-8")
    (folder / "licences.txt").write_text("".join(licences), encoding="utf-8")
    (folder / "sbom.json").write_text(json.dumps(bill(components), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
