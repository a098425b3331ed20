"""``adopt``: devices of another program, and everything that stands against taking one over."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from iotonboard.delivery.formats.table import FORMATS

from support.in_process import call
from support.old_fleet import OldFleet
from support.program import Result, State, write_key_file

NOW = datetime.now(UTC).replace(microsecond=0)
_DAY = timedelta(days=1)
_KEY = ec.generate_private_key(ec.SECP256R1())


class Fleet:
    """An old CA that was taken over into ``state``, and certificates, an index and lists of it in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.old = folder, OldFleet(folder / "old")
        (folder / "certs").mkdir()
        self.state = State(folder / "state", folder / "key-file")
        write_key_file(self.state.passphrase_file)
        self.state.run("init-ca", "--import-key", folder / "old/ca.key", "--import-cert", folder / "old/ca.crt")
        self.lines: list[str] = []

    def device(
        self,
        name: str,
        serial: int,
        *,
        status: str = "V",
        begin: float = -10,
        days: float = 100,
        revocation: str = "",
        key: Any = _KEY,
        purpose: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH,
        ca: OldFleet | None = None,
        in_index: bool = True,
    ) -> Path:
        """A certificate, with its line of the index; ``revocation`` as it stands there."""
        signer = ca or self.old
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name, _validate=False)]) if name else x509.Name([])
        end = NOW + begin * _DAY + days * _DAY
        builder = x509.CertificateBuilder(signer.name, subject, key.public_key(), serial)
        builder = builder.not_valid_before(NOW + begin * _DAY).not_valid_after(end)
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        file = self.folder / "certs" / f"{serial:02X}-{len(self.lines)}.pem"
        file.write_bytes(builder.sign(signer.key, SHA256()).public_bytes(Encoding.PEM))
        if in_index:
            self.lines.append(f"{status}\t{end:%y%m%d%H%M%S}Z\t{revocation}\t{serial:02X}\tunknown\t/CN={name}")
        return file

    def crl(
        self,
        *entries: tuple[int, x509.ReasonFlags | None],
        number: int | None = 7,
        ca: OldFleet | None = None,
        names_key: bool = True,
        digest: SHA256 | SHA384 | None = None,
        begin: datetime = NOW - _DAY / 24,
    ) -> Path:
        """A list of the old CA, an hour old."""
        signer = ca or self.old
        builder = x509.CertificateRevocationListBuilder().issuer_name(signer.name).last_update(begin)
        builder = builder.next_update(NOW + 30 * _DAY)
        for serial, reason in entries:
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW - 2 * _DAY)
            entry = entry.add_extension(x509.CRLReason(reason), critical=False) if reason else entry
            builder = builder.add_revoked_certificate(entry.build())
        builder = builder.add_extension(x509.CRLNumber(number), critical=False) if number is not None else builder
        key_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key())
        builder = builder.add_extension(key_id, critical=False) if names_key else builder
        file = self.folder / f"crl-{number}-{len(entries)}.pem"
        file.write_bytes(builder.sign(signer.key, digest or SHA256()).public_bytes(Encoding.PEM))
        return file

    def adopt(self, *words: str | Path, expect: int = 0) -> Result:
        """Call ``adopt`` with the index and the folder."""
        index = self.folder / "index.txt"
        index.write_text("".join(f"{line}\n" for line in self.lines))
        return self.run("adopt", "--index", index, "--certs", self.folder / "certs", *words, expect=expect)

    def run(self, *words: str | Path, expect: int = 0) -> Result:
        """Call the program in this process."""
        result = call(self.state, *map(str, words))
        assert result.exit_code == expect, str(result)
        return result

    def refused(self, *words: str | Path) -> str:
        """What is told of a call that finds conflicts; nothing is recorded, and a trial says the same."""
        before = self.state.snapshot()
        trial = self.adopt(*words, "--dry-run", expect=4).stderr
        told = self.adopt(*words, expect=4).stderr
        assert told == trial
        assert self.state.snapshot() == before
        return told

    def revoked(self) -> dict[int, tuple[datetime, x509.ReasonFlags | None]]:
        """What the published list revokes."""
        crl = x509.load_pem_x509_crl(self.state.crl.read_bytes())
        found = {}
        for entry in crl:
            reasons = [one.value.reason for one in entry.extensions if isinstance(one.value, x509.CRLReason)]
            found[entry.serial_number] = entry.revocation_date_utc, reasons[0] if reasons else None
        return found

    def number(self) -> int:
        crl = x509.load_pem_x509_crl(self.state.crl.read_bytes())
        return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


def test_what_becomes_of_each_kind(fleet: Fleet) -> None:
    fleet.device("AA:BB:CC:00:00:01", 1)
    fleet.device("Pump 3", 2, status="R", revocation=f"{NOW - _DAY:%y%m%d%H%M%S}Z,keyCompromise")
    fleet.device("over-1", 3, status="E", begin=-30, days=10)
    fleet.device("held-1", 4, status="R", revocation=f"{NOW - _DAY:%y%m%d%H%M%S}Z,holdInstruction,1.2.840.10040.2.1")
    fleet.device("odd-1", 5, status="R", revocation=f"{NOW - _DAY:%y%m%d%H%M%S}Z,CACompromise")
    *devices, told = fleet.adopt("--json").json_lines
    assert {one["device_id"]: one["status"] for one in devices} == {
        "AA:BB:CC:00:00:01": "valid", "Pump 3": "revoked", "over-1": "expired", "held-1": "on-hold", "odd-1": "revoked",
    }  # fmt: skip
    assert (told["valid"], told["on_hold"], told["revoked"], told["expired"]) == (1, 1, 2, 1)
    flags = x509.ReasonFlags
    assert fleet.revoked() == {
        2: (NOW - _DAY, flags.key_compromise), 4: (NOW - _DAY, flags.certificate_hold), 5: (NOW - _DAY, None),
    }  # fmt: skip
    fleet.state.run("release", "held-1")
    fleet.state.run("revoke", "AA:BB:CC:00:00:01")
    *devices, _ = fleet.adopt("--json").json_lines  # what was done here since stays
    assert {one["status"] for one in devices if one["device_id"] in ("held-1", "AA:BB:CC:00:00:01")} == {
        "valid", "revoked",
    }  # fmt: skip
    fleet.state.run("health", "--deep")


def test_a_list_has_its_say_and_numbers_go_on_from_it(fleet: Fleet) -> None:
    fleet.device("a", 1)
    fleet.device("b", 2, status="R", revocation=f"{NOW - _DAY:%y%m%d%H%M%S}Z,superseded")
    fleet.adopt("--crl", fleet.crl((1, x509.ReasonFlags.key_compromise), (2, None), (77, None), number=41))
    found = fleet.revoked()
    assert {serial: reason for serial, (_, reason) in found.items()}.keys() == {1, 2, 77}
    assert found[1] == (NOW - 2 * _DAY, x509.ReasonFlags.key_compromise)
    assert fleet.number() == 42
    crl = x509.load_pem_x509_crl(fleet.state.crl.read_bytes())
    assert crl.last_update_utc > NOW - _DAY / 24
    fleet.state.run("health", "--deep")
    fleet.state.run("revoke", "b", "--reason", "keyCompromise")


def test_a_list_without_a_number_and_a_second_run(fleet: Fleet) -> None:
    fleet.device("a", 1)
    crl = fleet.crl((9, None), number=None)
    fleet.adopt("--crl", crl)
    number = fleet.number()
    assert fleet.adopt("--crl", crl, "--json").json_lines[-1]["crl_number"] is None
    assert fleet.number() == number
    fleet.device("b", 2)  # what came since is taken, and nothing twice
    *devices, _ = fleet.adopt("--json").json_lines
    assert {one["device_id"]: one["changed"] for one in devices} == {"a": False, "b": True}
    assert 9 in fleet.revoked()
    fleet.state.run("health", "--deep")


def test_the_number_that_openssl_keeps_is_passed(fleet: Fleet, tmp_path: Path) -> None:
    fleet.device("a", 1)
    (tmp_path / "crlnumber").write_text("1F\n")  # of the next list, in hexadecimal
    fleet.adopt()
    assert fleet.number() == 0x1F
    fleet.device("b", 2)
    fleet.adopt()
    assert fleet.number() == 0x20
    fleet.state.run("health", "--deep")


@pytest.mark.parametrize("number", [None, 12])
def test_an_old_list_at_the_broker_is_not_written_over(fleet: Fleet, number: int | None) -> None:
    """Before 'adopt' has it: it revokes what this state does not know yet. Whoever signs first takes it up."""
    state, broker = fleet.state, fleet.folder / "broker.pem"
    shutil.copy(fleet.crl((7, x509.ReasonFlags.key_compromise), number=number), broker)
    state.run("config", "set", "broker_crl_file", broker)
    before = broker.read_bytes()
    state.run("sync-acl", expect=8)
    assert broker.read_bytes() == before
    (fleet.folder / "copy").mkdir()
    copy = state.copy_to(fleet.folder / "copy")
    copy.run("gen-crl")
    assert [one.serial_number for one in x509.load_pem_x509_crl(broker.read_bytes())] == [7]
    copy.run("health", "--deep")
    broker.write_bytes(before)
    fleet.device("a", 7)
    fleet.adopt("--crl", broker)
    (entry,) = x509.load_pem_x509_crl(broker.read_bytes())
    assert entry.serial_number == 7
    state.run("register", "b")
    state.run("health", "--deep")


@pytest.mark.parametrize("names_key", [True, False])
def test_the_list_at_the_place_of_publication_needs_no_name(fleet: Fleet, names_key: bool) -> None:
    """It is the old program's, with or without the key's id: what it revokes is taken up, and no copy is at work."""
    state, broker = fleet.state, fleet.folder / "broker.pem"
    shutil.copy(fleet.crl((7, x509.ReasonFlags.key_compromise), number=12, names_key=names_key), broker)
    state.run("config", "set", "broker_crl_file", broker)
    fleet.device("a", 7)
    assert "(0 valid, 0 on-hold, 1 revoked" in fleet.adopt("--dry-run").stdout
    assert "another copy" not in fleet.adopt().stderr
    crl = x509.load_pem_x509_crl(broker.read_bytes())
    assert [one.serial_number for one in crl] == [7]
    assert crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 13
    assert "all of it was here already" in fleet.adopt().stdout + fleet.adopt().stderr
    state.run("register", "b")
    state.run("health", "--deep")


@pytest.mark.parametrize("how", [{}, {"digest": SHA384()}, {"begin": NOW + _DAY / 24}])
def test_the_environment_names_the_list_of_the_program_before(fleet: Fleet, how: dict[str, Any]) -> None:
    """The first list that is signed takes it up, and it is no other copy's; ours need not be held against it."""
    broker = fleet.folder / "broker.pem"
    shutil.copy(fleet.crl((7, None), number=12, **how), broker)
    fleet.device("a", 7)
    state, env = State(fleet.folder / "other", fleet.state.passphrase_file), {"BROKER_CRL_FILE": str(broker)}
    old = fleet.folder / "old"
    state.run("init-ca", "--import-key", old / "ca.key", "--import-cert", old / "ca.crt", env=env)
    assert [one.serial_number for one in x509.load_pem_x509_crl(broker.read_bytes())] == [7]
    assert "another copy" not in state.run("adopt", "--certs", fleet.folder / "certs", env=env).stderr
    state.run("register", "b", env=env)
    state.run("health", "--deep", env=env)


def test_a_folder_without_certificates_and_an_acl_that_is_none(fleet: Fleet, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    told = fleet.state.run("adopt", "--certs", tmp_path / "empty", expect=6).stderr
    assert f"there is no certificate in '{tmp_path / 'empty'}'" in told
    assert ".pem, .crt" in told
    fleet.device("a", 1)
    (tmp_path / "acl").write_text("users are not named so\n")
    told = fleet.adopt("--acl", tmp_path / "acl", expect=6).stderr
    assert f"'{tmp_path / 'acl'}': line 1" in told
    assert "then run the same command again" in told


def test_an_old_certificate_beside_its_renewal_is_no_conflict(fleet: Fleet) -> None:
    fleet.device("a", 1, status="E", begin=-40, days=20)
    fleet.device("a", 2)
    fleet.device("b", 3, status="R", revocation=f"{NOW - _DAY:%y%m%d%H%M%S}Z")
    fleet.device("b", 4)
    fleet.adopt()
    assert {one["status"] for one in fleet.state.run("list", "--json").json_lines} == {"active"}
    assert len(fleet.state.json("show", "a")["certificates"]) == 2


def test_what_stands_against_it_is_named_and_nothing_is_half_done(fleet: Fleet, tmp_path: Path) -> None:
    stranger = OldFleet(tmp_path / "stranger", "Old Plant CA")
    fleet.device("good", 1)
    fleet.device("twice", 2)
    fleet.device("twice", 3)
    fleet.device("Case", 4)
    fleet.device("case", 5)
    fleet.device("other", 6, ca=stranger)
    fleet.device("same", 7)
    fleet.device("serial", 7, in_index=False)
    fleet.device("a/b", 8)
    fleet.device("weak", 9, key=rsa.generate_private_key(65537, 1024))
    fleet.device("gone", 10).unlink()
    (tmp_path / "certs/broken.pem").write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    told = fleet.refused("--crl", fleet.crl(ca=stranger))
    for words in (
        "'twice' has 2 valid certificates (2 of",
        "'Case' and 'case' differ by their case alone",
        "('other', serial 6) was not signed by this CA",
        "has the serial number of",
        "('a/b', serial 8) is valid, and cannot be kept: 'a/b' cannot be a device id",
        "an RSA key of 1024 bits is not supported",
        "line 10 of the index: the certificate of '/CN=gone', serial A, is in none of the files",
        "broken.pem",
        "a CRL in it was not signed by this CA",
    ):
        assert words in told, words
    assert "9 conflicts: nothing was recorded" in told
    answers = fleet.adopt("--json", expect=4).json_lines
    assert len(answers[-1]["conflicts"]) == 8


def test_what_ended_may_be_what_no_device_is(fleet: Fleet) -> None:
    """A revocation of it stays on every list all the same."""
    fleet.device("a/b", 1, status="R", revocation=f"{NOW - _DAY:%y%m%d%H%M%S}Z")
    fleet.device("old", 2, status="E", begin=-40, days=10, key=rsa.generate_private_key(65537, 1024))
    fleet.device("broker", 3, purpose=ExtendedKeyUsageOID.SERVER_AUTH)
    fleet.device("lost", 4, status="R", revocation=f"{NOW - _DAY:%y%m%d%H%M%S}Z,keyCompromise").unlink()
    told = fleet.adopt("--json").json_lines[-1]
    assert (told["devices"], told["revoked_without_certificate"], told["left_out"]) == (0, 2, 2)
    assert told["server_certificates"] == ["broker"]
    assert fleet.revoked().keys() == {1, 4}
    fleet.state.run("config", "set", "acl.style", "pattern")
    fleet.state.run("sync-acl")
    assert "user lost\ntopic deny #\n" in fleet.state.acl.read_text()
    fleet.state.run("health", "--deep")


def test_devices_that_are_here_already(fleet: Fleet) -> None:
    fleet.state.register("press-1", "gone-1")
    fleet.state.run("retire", "gone-1")
    fleet.device("press-1", 1)
    fleet.device("GONE-1", 2)
    told = fleet.refused()
    assert "'press-1' has 2 valid certificates" in told
    assert "'GONE-1' was retired here" in told


def test_what_ended_under_another_spelling_or_was_retired_here_is_no_conflict(fleet: Fleet) -> None:
    fleet.device("Pump-1", 1, status="R", begin=-50, revocation=f"{NOW - _DAY:%y%m%d%H%M%S}Z")
    fleet.device("PUMP-1", 2, status="E", begin=-40, days=20)
    fleet.device("pump-1", 3)
    fleet.device("old", 4)
    *devices, told = fleet.adopt("--json").json_lines
    assert [one["device_id"] for one in devices] == ["old", "pump-1"]
    assert (told["revoked_without_certificate"], told["left_out"]) == (1, 2)
    assert fleet.revoked().keys() == {1}
    fleet.state.run("retire", "old")
    fleet.device("new", 5)
    fleet.adopt()
    assert fleet.revoked().keys() == {1, 4}
    fleet.state.run("health", "--deep")


def test_files_folders_and_lists_without_an_index(fleet: Fleet, tmp_path: Path) -> None:
    one, two = fleet.device("a", 1), fleet.device("b", 2)
    both = tmp_path / "both.pem"
    both.write_bytes(b"kept by hand\n" + one.read_bytes() + two.read_bytes() + fleet.old.ca.read_bytes())
    (tmp_path / "certs/key.pem").write_bytes((tmp_path / "old/ca.key").read_bytes())
    shutil.copy(one, tmp_path / "certs/again.crt")
    state = fleet.state
    for words in (["--certs", both], ["--certs", tmp_path / "certs"], ["--crl", fleet.crl((2, None))]):
        state.run("adopt", *words)
    assert {one["device_id"]: one["status"] for one in state.run("list", "--json").json_lines} == {
        "a": "active", "b": "revoked",
    }  # fmt: skip
    assert "nothing to adopt" in state.run("adopt", expect=2).stderr
    assert "there is no file" in state.run("adopt", "--certs", tmp_path / "nowhere", expect=5).stderr
    (tmp_path / "index").write_text("no index\n")
    assert "line 1 is none of an openssl index" in state.run("adopt", "--index", tmp_path / "index", expect=6).stderr


ACL = b"""# by hand\r
user dashboard
topic read #

user a
topic readwrite devices/a/#
topic read plant/config
pattern read plant/%u/x
user b
# reaches beyond
topic read plant/+/state
topic write b/state

user stranger
topic read a
"""


def test_rules_by_hand_become_the_devices_own(fleet: Fleet, tmp_path: Path) -> None:
    fleet.device("a", 1)
    fleet.device("b", 2, status="R", revocation=f"{NOW - _DAY:%y%m%d%H%M%S}Z")
    file = tmp_path / "hand.acl"
    file.write_bytes(ACL)
    *devices, told = fleet.adopt("--acl", file, "--json").json_lines
    assert {one["device_id"]: one["topics"] for one in devices} == {
        "a": ["read:plant/config"],
        "b": ["write:{device_id}/state"],
    }
    assert told["acl_left"] == ["line 11: topic read plant/+/state"]
    rest, _, region = fleet.state.acl.read_bytes().partition(b"# BEGIN iotonboard")
    assert rest == ACL.replace(b"user a\ntopic readwrite devices/a/#\ntopic read plant/config\n", b"").replace(
        b"topic write b/state\n", b""
    )
    assert b"\nuser a\ntopic readwrite devices/a/#\ntopic read plant/config\n" in region
    assert b"user b" not in region.replace(b"user b\ntopic deny", b"")
    assert file.read_bytes() == ACL
    assert json.loads(fleet.state.run("topics", "list", "b", "--json").stdout)["topics"] == ["write:{device_id}/state"]
    fleet.adopt("--acl", file)  # as often as one likes
    assert fleet.state.acl.read_bytes().partition(b"# BEGIN")[0] == rest
    fleet.state.run("health", "--deep")


def test_an_acl_that_cannot_be_taken_is_refused(fleet: Fleet, tmp_path: Path) -> None:
    fleet.device("a", 1)
    file = tmp_path / "hand.acl"
    file.write_bytes(b"user a\n topic read x\nsubject\n")
    assert "line 3" in fleet.adopt("--acl", file, expect=6).stderr
    fleet.state.acl.write_bytes(b"user bridge\ntopic read x\n" + fleet.state.acl.read_bytes())
    file.write_bytes(b"user a\ntopic read x\n")
    assert "would be lost" in fleet.adopt("--acl", file, expect=4).stderr
    file.write_bytes(fleet.state.acl.read_bytes())
    assert "has the region of a state already" in fleet.adopt("--acl", file, expect=4).stderr
    fleet.adopt("--acl", fleet.state.acl)
    assert fleet.state.acl.read_bytes().startswith(b"user bridge\ntopic read x\n# BEGIN")


ODD = ['größe "7"\\', "Pump, 3; '4'", "=1-1", "-x", "con", "ж" * 32]


def test_odd_names_go_everywhere(fleet: Fleet, tmp_path: Path) -> None:
    """Each verb and each format takes an adopted id, and writes files that every disk takes."""
    for number, name in enumerate(ODD, start=1):
        fleet.device(name, number)
    fleet.adopt()
    state, out = fleet.state, tmp_path / "out"
    for name in ODD:
        out.mkdir(exist_ok=True)
        assert fleet.run("show", "--json", "--", name).json["device_id"] == name
        fleet.run("topics", "add", "--", name, "read:plant/config")
        fleet.run("export", "--format", "pem", "--out", out / "one", "--force", "--", name)
        fleet.run("register", "--if-exists", "reissue", "--", name)
    listed = tmp_path / "ids.json"
    listed.write_text("".join(json.dumps({"device_id": name}) + "\n" for name in ODD))
    for one in FORMATS:
        (out / one).mkdir()
        fleet.run("export", "--batch", listed, "--format", one, "--out", out / one)
        assert len(list((out / one).iterdir())) == len(ODD), one
    header = next(file for file in (out / "c-header").iterdir() if "gr" in file.name).read_text("utf-8")
    assert '#define IOTONBOARD_DEVICE_ID "gr\\303\\266\\303\\237e \\0427\\042\\134"' in header
    fleet.run("deliver", "--batch", listed, "--to", out)
    fleet.run("labels", "--batch", listed, "--out", out / "labels.svg")
    fleet.run("bundle", "open", state.path / "certs/devices/%63on/creds.zip", "--out", out / "con",
              "--password-file", _password(state, tmp_path, "con"))  # fmt: skip
    fleet.run("report", "--out", out / "report.html")
    fleet.run("renew", "--batch", listed, "--no-bundle")
    fleet.run("revoke", "--batch", listed)
    fleet.run("backup", out / "backup")
    again = State(tmp_path / "restored", state.passphrase_file)
    again.run("restore", out / "backup", "--crl", state.crl)
    again.run("health", "--repair")  # writes the files that a backup leaves out
    for one in (state, again):
        one.run("health", "--deep")
        assert {row["device_id"] for row in one.run("list", "--status", "revoked", "--json").json_lines} == set(ODD)
    fleet.run("register", "con", expect=4)
    fleet.device("ж" * 64, 99)  # the old program could
    fleet.adopt()
    assert "64 octets" in fleet.run("register", "--if-exists", "reissue", "ж" * 64, expect=6).stderr
    fleet.run("revoke", "ж" * 64)
    fleet.run("register", "new con?", expect=6)


def _password(state: State, folder: Path, name: str) -> Path:
    file = folder / "password"
    file.write_text(state.json("bundle", "password", name)["bundle_password"])
    file.chmod(0o600)
    return file
