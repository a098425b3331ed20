"""The archive: every certificate that stations told of, in a folder that may be a mount."""

from __future__ import annotations

import shutil
from pathlib import Path

from cryptography import x509

from support.offices import Office, journal, trust
from support.program import State


def test_every_certificate_is_archived_once(office: Office, station: State, tmp_path: Path) -> None:
    state, folder = station.copy_to(tmp_path), tmp_path / "archive"
    (office.path / "iotonboard.toml").write_text(f'archive = "{folder}"\n')
    trust(office, state, "line7")
    row = journal(state, tmp_path / "1.journal")
    told = office.run("station", "take", tmp_path / "1.journal", "--json", expect=8)
    assert [one.get("status") for one in told.json_lines] == ["taken", None]
    assert "the archive is away" in told.json_lines[-1]["unpublished"][0]["error"]
    assert "take the same files again" in told.stderr
    folder.mkdir()
    office.run("station", "take", tmp_path / "1.journal")
    (first,) = (folder / "line7").iterdir()
    text = first.read_bytes()
    assert {one.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value for one in subjects(text)} == {
        "press-1", "press-2", "Press-3", "press-4",
    }  # fmt: skip
    (serial,) = (one["serial"] for one in state.json("show", "press-1")["certificates"])
    assert f"press-1 {serial}\n".encode() in text
    state.register("press-5")
    journal(state, tmp_path / "2.journal", row)
    moved = tmp_path / "moved"
    shutil.move(folder, moved)
    folder.mkdir()  # as an empty mount point
    assert "is empty" in office.run("station", "take", tmp_path / "2.journal", expect=8).stderr
    assert list(folder.iterdir()) == []
    folder.rmdir()
    shutil.move(moved, folder)
    office.run("station", "take", tmp_path / "2.journal")
    _, second = sorted((folder / "line7").iterdir())
    assert [one.rfc4514_string() for one in subjects(second.read_bytes())] == ["CN=press-5"]
    assert first.read_bytes() == text


def subjects(pem: bytes) -> list[x509.Name]:
    return [one.subject for one in x509.load_pem_x509_certificates(pem)]
