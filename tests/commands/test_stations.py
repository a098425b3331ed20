"""A root certifies the CAs of stations: request, words, answer, installation, and what is refused on the way."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from iotonboard.ca.answer_to_station import AnswerFile
from iotonboard.ca.installing import plan_install
from iotonboard.errors import ConflictError, PolicyError
from iotonboard.model import Caller
from iotonboard.pki import pem
from iotonboard.state.state import open_state

from support.program import State, make_state
from support.stations import Works, certificates, fingerprint, make_station, make_works, names
from support.terminal import on_terminal


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root, and a station that it certified, with a broker and a device."""
    folder = tmp_path_factory.mktemp("kept")
    works = make_works(folder)
    station = make_station(folder / "station", "Station 7")
    works.certify(station)
    station.run("broker", "issue", "broker.test")
    station.register("press-1")
    return folder


@pytest.fixture
def folder(kept: Path, tmp_path: Path) -> Path:
    shutil.copytree(kept, tmp_path / "works")
    return tmp_path / "works"


@pytest.fixture
def works(folder: Path) -> Works:
    return Works(State(folder / "root" / "state", folder / "root" / "key-file"), folder / "stick")


@pytest.fixture
def station(folder: Path) -> State:
    return State(folder / "station" / "state", folder / "station" / "key-file")


def test_a_new_station_waits_and_then_goes_out_below_its_root(works: Works, station: State, tmp_path: Path) -> None:
    assert names(station.ca_cert) == ["CN=Works Root", "CN=Station 7"]
    root, below = certificates(station.ca_cert)
    below.verify_directly_issued_by(root)
    constraints = below.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (True, True, 0)
    for state in (works.root, station):
        state.run("health", "--deep")
        state.run("audit", "verify")
    out = tmp_path / "out"
    station.run("export", "press-1", "--format", "pem", "--out", out)
    anchors = [path for path in out.iterdir() if names_or_none(path) == ["CN=Works Root"]]
    assert len(anchors) == 1


def names_or_none(path: Path) -> list[str] | None:
    try:
        return names(path)
    except ValueError:
        return None


def test_words_and_digest_are_the_same_on_both_sides(works: Works, station: State) -> None:
    path = works.stick / "second.csr"
    asked = station.json("ca", "request", "--out", path)
    assert len(asked["words"].split()) == 12
    assert asked["last_answer"] == fingerprint(certificates(station.ca_cert)[-1].public_bytes(DER))
    text = path.read_text()
    assert asked["words"] in text
    assert asked["request_sha256"] in text
    answer = works.stick / "second.answer"
    wrong = " ".join(["abe", *asked["words"].split()[1:]])
    for digest in (wrong, "00" * 32, asked["request_sha256"][:-2]):
        result = works.root.run("ca", "sign", path, "--out", answer, "--digest", digest, expect=6)
        assert asked["words"] in result.stderr
    assert not answer.exists()
    signed = works.root.json("ca", "sign", path, "--out", answer, "--digest", asked["words"].upper())
    assert (signed["name"], signed["signed"]) == ("Station 7", True)
    sheet = Path(signed["record"]).read_text()
    assert all(word in sheet for word in asked["words"].split())
    assert "Works Root" in sheet
    assert signed["serial"] in sheet


DER = serialization.Encoding.DER


def test_a_ca_that_issued_before_goes_on_and_its_own_certificate_goes(works: Works, tmp_path: Path) -> None:
    state = make_station(tmp_path / "old", "Old Line", "--key-type", "ec-p384")
    state.register("press-1")
    state.run("broker", "issue", "broker.test")
    own, before = state.ca_cert.read_bytes(), state.json("show", "press-1")
    request = works.request(state, "old")
    state.register("press-2")
    answer = works.sign(request, "--validity-days", "1000")
    state.register("press-3")
    result = works.install(state, answer)
    assert "ignores what the root revokes" in result.stderr
    assert names(state.ca_cert) == ["CN=Works Root", "CN=Old Line"]
    assert own not in state.ca_cert.read_bytes()
    assert state.json("show", "press-1") == before
    assert state.json("ca", "install", answer)["status"] == "unchanged"
    state.run("renew", "press-1")
    state.run("revoke", "press-2")
    state.run("health", "--deep")
    state.run("audit", "verify")


def test_a_second_answer_takes_the_place_of_the_first(works: Works, station: State) -> None:
    first = works.stick / "first.answer"
    shutil.copy(works.stick / "request.answer", first)
    works.certify(station, "--validity-days", "700")
    ends = certificates(station.ca_cert)[-1].not_valid_after_utc
    assert abs(ends - datetime.now(UTC) - timedelta(days=700)) < timedelta(days=1)
    before = station.snapshot()
    assert "older than the one in force" in works.install(station, first, expect=4).stderr
    assert station.snapshot() == before
    assert works.root.json("ca", "sign", works.stick / "request.csr", "--out", works.stick / "x")["signed"] is False


def test_a_station_whose_devices_wake_in_1970_is_certified_from_then_on(tmp_path: Path) -> None:
    """Each answer begins a second later than the one before: the newer one is told by it."""
    early, epoch = ("--not-before", "1970-01-01T00:00:00Z"), datetime(1970, 1, 1, tzinfo=UTC)
    works = make_works(tmp_path, *early)
    station = make_station(tmp_path / "station", "Station 7", "--below-root", *early)
    station.run("config", "set", "not_before", "1970-01-01T00:00:00Z")
    answer = works.certify(station)
    assert certificates(answer)[0].not_valid_before_utc == epoch
    station.register("press-1")
    assert station.json("show", "press-1")["certificates"][0]["not_before"] == "1970-01-01T00:00:00Z"
    first = Path(shutil.copy(answer, works.stick / "first.answer"))
    assert certificates(works.certify(station))[0].not_valid_before_utc == epoch + timedelta(seconds=1)
    assert "older than the one in force" in works.install(station, first, expect=4).stderr


def test_no_answer_begins_before_its_root(works: Works, tmp_path: Path) -> None:
    station = make_station(tmp_path / "early", "Early", "--below-root", "--not-before", "1970-01-01T00:00:00Z")
    own, root = certificates(works.certify(station))
    assert own.not_valid_before_utc == root.not_valid_before_utc


def test_the_same_request_gets_the_same_answer(works: Works, station: State) -> None:
    request = works.request(station)
    first, again = works.stick / "a.answer", works.stick / "b.answer"
    serials = {works.root.json("ca", "sign", request, "--out", path)["serial"] for path in (first, again, first)}
    assert len(serials) == 1
    assert first.read_bytes() == again.read_bytes()
    works.root.run("ca", "sign", request, "--out", first, "--validity-days", "1825", "--any-subject")
    for limit in (("--validity-days", "30"), ("--permit-subject", "O=Works")):
        assert "with other limits" in works.root.run("ca", "sign", request, "--out", first, *limit, expect=4).stderr
    assert first.read_bytes() == again.read_bytes()


def test_a_request_that_is_older_than_the_last_answer_is_refused(works: Works, station: State) -> None:
    old = works.request(station, "old")
    newer = works.request(station, "newer")
    works.sign(newer)
    result = works.root.run("ca", "sign", old, "--out", works.stick / "no", expect=4)
    assert "older than the last answer" in result.stderr
    assert "--again 'Station 7'" in result.stderr
    lost = works.stick / "lost.answer"
    signed = works.root.json("ca", "sign", "--again", "station 7", "--out", lost)
    assert signed["signed"] is False
    works.install(station, lost)
    works.certify(station)


def test_a_name_belongs_to_one_key_and_a_key_has_one_name(works: Works, tmp_path: Path) -> None:
    twin = make_station(tmp_path / "twin", "STATION 7")
    result = works.root.run("ca", "sign", works.request(twin), "--out", works.stick / "no", expect=4)
    assert "is the name of another key" in result.stderr
    namesake = make_station(tmp_path / "namesake", "Works root")
    result = works.root.run("ca", "sign", works.request(namesake), "--out", works.stick / "no", expect=4)
    assert "the root's own name" in result.stderr
    assert not (works.stick / "no").exists()


def csr(
    path: Path, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, name: str, *extensions: x509.ExtensionType
) -> Path:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name.from_rfc4514_string(name))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    path.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return path


KEY = ec.generate_private_key(ec.SECP256R1())
NAMES = {
    "no name": "O=Works",
    "a line break in the name": "CN=A CA\\0ASHOWN AS ANOTHER",
    "an unknown attribute": "CN=A CA,1.2.840.113549.1.9.1=a@b",
}
CONSTRAINTS = x509.BasicConstraints(ca=True, path_length=None)


def test_a_request_of_another_program_is_certified(works: Works, tmp_path: Path) -> None:
    request = csr(tmp_path / "theirs.csr", KEY, "CN=Their CA,O=Works,C=DE", CONSTRAINTS)
    answer = works.sign(request)
    certificate = certificates(answer)[0]
    assert certificate.subject.rfc4514_string() == "CN=Their CA,O=Works,C=DE"
    assert certificate.public_key() == KEY.public_key()


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("nothing", "there is no file"),
        ("empty", "request"),
        ("a certificate", "certificat"),
        ("signature", "signature"),
        ("two", "2 requests"),
        ("no name", "exactly one commonName"),
        ("a line break in the name", "cannot be a 'common_name'"),
        ("an unknown attribute", "is not a subject attribute"),
        ("weak key", "1024"),
        ("alternative name", "which a root does not give"),
        ("no CA", "which a root does not give"),
        ("path length", "which a root does not give"),
    ],
)
def test_what_is_no_request_of_a_ca_is_refused(works: Works, tmp_path: Path, what: str, said: str) -> None:
    path = tmp_path / "request.csr"
    if what == "empty":
        path.write_bytes(b"")
    elif what == "a certificate":
        shutil.copy(works.root.ca_cert, path)
    elif what == "signature":
        good = pem.pem_decode_all("CERTIFICATE REQUEST", csr(path, KEY, "CN=A CA").read_bytes())[0]
        path.write_bytes(pem.pem_encode("CERTIFICATE REQUEST", good.replace(b"A CA", b"B CA")))
    elif what == "two":
        path.write_bytes(2 * csr(path, KEY, "CN=A CA").read_bytes())
    elif what in NAMES:
        csr(path, KEY, NAMES[what])
    elif what == "weak key":
        csr(path, rsa.generate_private_key(65537, 1024), "CN=A CA")
    elif what != "nothing":
        extension = {
            "alternative name": x509.SubjectAlternativeName([x509.DNSName("broker.test")]),
            "no CA": x509.BasicConstraints(ca=False, path_length=None),
            "path length": x509.BasicConstraints(ca=True, path_length=3),
        }[what]
        csr(path, KEY, "CN=A CA", extension)
    before = works.root.snapshot()
    result = works.root.run("ca", "sign", path, "--out", tmp_path / "no", expect=5 if what == "nothing" else 6)
    assert said in result.stderr
    assert "hint: check the name" in result.stderr or "iotonboard ca request --out FILE" in result.stderr
    assert works.root.snapshot() == before
    assert not (tmp_path / "no").exists()


def test_limits_that_cannot_be_are_refused(works: Works, tmp_path: Path) -> None:
    request, out = csr(tmp_path / "a.csr", KEY, "CN=A CA"), tmp_path / "out"
    before = works.root.snapshot()
    for options, code, said in (
        (("--validity-days", "5000"), 6, "outlive"),
        (("--permit-subject", "Works"), 6, "not a directory name"),
        (("--permit-subject", "O=a, O=b"), 6, "not a directory name"),
        (("--permit-subject", "O=a", "--any-subject"), 2, "exclude each other"),
        (("--again", "Station 7"), 2, "name a request"),
    ):
        result = works.root.run("ca", "sign", request, "--out", out, *options, expect=code)
        assert said in result.stderr, options
    out.write_text("something else\n")
    assert "exists already" in works.root.run("ca", "sign", request, "--out", out, expect=4).stderr
    assert out.read_text() == "something else\n"
    (tmp_path / "answer").write_bytes((works.stick / "request.answer").read_bytes())
    works.root.run("ca", "sign", request, "--out", tmp_path / "answer", expect=4)
    works.root.run("ca", "sign", "--again", "nobody", "--out", tmp_path / "new", expect=5)
    assert works.root.snapshot() == before


def test_a_root_s_limit_of_names_is_kept_and_followed(works: Works, tmp_path: Path) -> None:
    state = make_station(tmp_path / "line", "Line 4")
    answer = works.sign(works.request(state, "line"), "--permit-subject", "O=Works, OU=Line 4")
    limit = certificates(answer)[0].extensions.get_extension_for_class(x509.NameConstraints)
    assert limit.critical
    result = works.install(state, answer, expect=6)
    assert "O=Works, OU=Line 4" in result.stderr
    assert "config set subject.organization" in result.stderr
    for key, value in (("organization", "WORKS"), ("organizational_unit", "Line 4")):
        state.run("config", "set", f"subject.{key}", value)
    assert "name constraints" in works.install(state, answer).stderr
    state.register("press-1")
    state.run("config", "set", "subject.organization", "Other")
    for words in (
        ("register", "press-2"),
        ("register", "press-2", "--profile", "azure"),
        ("profile", "check", "azure"),
        ("broker", "issue", "broker.test"),
        ("ca", "proof", "9d2c8a41f07b", "--out", tmp_path / "proof"),
    ):
        told = state.run(*words, expect=6).stderr
        assert "the root permits subjects that begin with O=Works, OU=Line 4" in told
        assert "defect" not in told
    before = make_station(tmp_path / "before", "Line 5", "--key-type", "ec-p256")
    before.register("press-1", "press-2")
    before.run("config", "set", "subject.organization", "Works")
    before.register("press-3")
    limited = works.sign(works.request(before, "before"), "--permit-subject", "O=Works")
    assert "2 valid certificates have subjects outside of O=Works" in works.install(before, limited).stderr
    again = certificates(works.sign(works.request(state, "line")))[0]
    assert again.extensions.get_extension_for_class(x509.NameConstraints).value == limit.value
    state.run("config", "set", "subject.organization", "Works")
    works.install(state, works.stick / "line.answer")
    free = certificates(works.sign(works.request(state, "line"), "--any-subject"))[0]
    assert not [one for one in free.extensions if isinstance(one.value, x509.NameConstraints)]


def test_on_a_terminal_the_last_word_is_asked_for(works: Works, station: State) -> None:
    path = works.stick / "asked.csr"
    words = station.json("ca", "request", "--out", path)["words"].split()
    for answer in ("yes", "\x04"):
        raw, _, code = on_terminal(
            works.root, "ca", "sign", str(path), "--out", str(works.stick / "a"), answers=[answer], columns=200
        )
        assert (code, "Type the last of these words" in raw, " ".join(words) in raw) == (2, True, True), raw
    assert not (works.stick / "a").exists()
    raw, _, code = on_terminal(
        works.root, "ca", "sign", str(path), "--out", str(works.stick / "a"), answers=[words[-1].upper()], columns=200
    )
    assert code == 0, raw


def test_a_new_root_is_shown_and_its_digits_are_asked_for(works: Works, tmp_path: Path) -> None:
    state = make_station(tmp_path / "new", "New Line")
    answer = works.sign(works.request(state))
    result = state.run("ca", "install", answer, expect=2)
    assert "--fingerprint HEX" in result.stderr
    result = state.run("ca", "install", answer, "--fingerprint", "00" * 32, expect=6)
    assert works.fingerprint in result.stderr
    raw, _, code = on_terminal(state, "ca", "install", str(answer), answers=["yes"], columns=200)
    assert (code, works.fingerprint[:8] in raw) == (2, True), raw
    assert not state.ca_cert.exists()
    raw, _, code = on_terminal(state, "ca", "install", str(answer), answers=[works.fingerprint[-8:]], columns=200)
    assert code == 0, raw
    assert "ignores what the root revokes" not in raw
    assert names(state.ca_cert) == ["CN=Works Root", "CN=New Line"]


def test_a_list_of_the_root_alone_is_taken_when_it_is_newer(works: Works, station: State, tmp_path: Path) -> None:
    old = Path(shutil.copy(works.root.crl, tmp_path / "old.pem"))
    works.root.run("gen-crl")
    newest = works.root.crl
    taken = station.run("ca", "install", newest, "--json", env={"IOTONBOARD_PASSPHRASE_FILE": ""}).json
    assert (taken["status"], taken["crls"][0]["crl_number"]) == ("list-taken", 2)
    assert station.json("ca", "install", newest)["status"] == "unchanged"
    before = station.snapshot()
    assert "number 1, and number 2 is here" in station.run("ca", "install", old, expect=4).stderr
    other = make_state(tmp_path, "--root", "--common-name", "Works Root")
    assert "no list in the file is of a CA above" in station.run("ca", "install", other.crl, expect=6).stderr
    assert station.snapshot() == before
    station.run("health", "--deep")
    plain = make_station(tmp_path / "plain", "Plain", "--key-type", "ec-p256")
    assert "a list alone" in plain.run("ca", "install", newest, expect=6).stderr


def test_of_a_calendar_and_of_two_roots_the_list_in_force_is_taken(works: Works, station: State) -> None:
    works.root.run("gen-crl", "--calendar", "3", "--every", "30")
    works.root.run("ca", "rollover", "begin")
    lists = [x509.load_der_x509_crl(der) for der in pem.pem_decode_all("X509 CRL", works.root.crl.read_bytes())]
    now = datetime.now(UTC)
    begun = [one for one in lists if one.last_update_utc <= now and one.issuer.rfc4514_string() == "CN=Works Root"]
    assert (len(lists), len(begun)) == (6, 1)
    (taken,) = station.json("ca", "install", works.root.crl)["crls"]
    number = begun[0].extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    assert taken["crl_number"] == number
    works.root.run("ca", "rollover", "--cancel")
    answer = works.sign(works.request(station))
    (listed,) = pem.pem_blocks("X509 CRL", answer.read_bytes())
    assert x509.load_der_x509_crl(listed).last_update_utc <= now


def test_an_answer_that_is_not_for_this_ca_or_not_whole_is_refused(
    works: Works, station: State, tmp_path: Path
) -> None:
    other = make_station(tmp_path / "other", "Other Line")
    theirs = works.sign(works.request(other, "theirs"))
    own, root = certificates(works.stick / "request.answer")
    again = works.sign(works.request(station, "again"))
    text = again.read_bytes()
    files = {
        "another station's": (theirs.read_bytes(), "for a CA of this state"),
        "root's certificate alone": (works.root.ca_cert.read_bytes(), "for a CA of this state"),
        "without the root": (certificates(again)[0].public_bytes(serialization.Encoding.PEM), "not in the file"),
        "damaged": (text.replace(b"MII", b"M*I"), ""),
        "empty": (b"", ""),
        "a key": ((station.certs / "ca.key").read_bytes(), ""),
    }
    assert own.issuer == root.subject
    before = station.snapshot()
    for name, (content, said) in files.items():
        path = tmp_path / "answer"
        path.write_bytes(content)
        result = works.install(station, path, expect=6)
        assert said in result.stderr, name
        assert "hint: " in result.stderr, name
    station.run("ca", "install", tmp_path / "nowhere", expect=5)
    assert station.snapshot() == before


def test_a_station_is_taken_back(works: Works, station: State, tmp_path: Path) -> None:
    other = make_station(tmp_path / "other", "Other Line")
    works.certify(other)
    works.certify(station, "--validity-days", "900")
    result = works.root.run("ca", "revoke", "station 7", "--reason", "keyCompromise")
    assert "2 certificate(s) revoked" in result.stdout
    for word in ("out of the CA file", "its CRL out of the CRL file, both", "ca install FILE", "init-ca --below-root"):
        assert word in result.stderr
    crl = x509.load_pem_x509_crl(works.root.crl.read_bytes())
    assert {entry.serial_number for entry in crl} >= {certificates(station.ca_cert)[-1].serial_number}
    assert len(list(crl)) == 2
    again = works.root.json("ca", "revoke", "Station 7", "--reason", "keyCompromise")
    assert (again["reason"], len(again["serials"]), again["crl_number"]) == ("keyCompromise", 2, 2)
    assert len(list(x509.load_pem_x509_crl(works.root.crl.read_bytes()))) == 2
    refused = works.root.run("ca", "sign", works.request(station), "--out", works.stick / "no", expect=6)
    assert "was revoked" in refused.stderr
    works.root.run("ca", "sign", "--again", "Station 7", "--out", works.stick / "no", expect=6)
    works.root.run("ca", "revoke", "nobody", expect=5)
    works.root.run("ca", "revoke", "Other Line", "--reason", "hold", expect=6)
    assert other.json("ca", "install", works.root.crl)["revoked"] == []
    told = station.run("ca", "install", works.root.crl, "--json")
    assert told.json["revoked"] == [fingerprint(certificates(station.ca_cert)[-1].public_bytes(DER))]
    assert "has revoked this CA" in told.stderr
    works.root.run("health", "--deep")
    works.root.run("audit", "verify")


def test_the_tree_shows_who_certified_whom_and_what_hangs_on_it(works: Works, station: State, tmp_path: Path) -> None:
    (root,) = station.json("ca", "status")["tree"]
    (own,) = root["below"]
    assert (root["name"], root["role"], root["crl_number"], own["name"]) == ("Works Root", "root", 1, "Station 7")
    assert (own["valid_devices"], own["brokers"], own["trust_self_signed"]) == (1, ["broker.test"], 0)
    assert station.json("ca", "status")["not_after"] == own["not_after"] < root["not_after"]
    old = make_station(tmp_path / "old", "Old Line", "--key-type", "ec-p256")
    old.register("press-1", "press-2")
    assert "tree" in old.json("ca", "status")
    assert "`-- " not in old.run("ca", "status").stdout
    works.certify(old)
    old.register("press-3")
    result = old.run("ca", "status")
    assert "`-- Old Line\tissuing\tvalid" in result.stdout
    assert "2 devices trust the certificate that this CA signed itself" in result.stderr
    old.run("renew", "press-1")
    assert old.json("ca", "status")["tree"][0]["below"][0]["trust_self_signed"] == 1
    works.root.run("ca", "revoke", "Station 7", "--reason", "superseded")
    shown = works.root.run("ca", "status").stdout
    assert "|-- Old Line\tstation\tvalid" in shown
    assert "`-- Station 7\tstation\trevoked (superseded)" in shown
    station.run("ca", "install", works.root.crl)
    assert station.json("ca", "status")["tree"][0]["below"][0]["status"] == "revoked"
    waiting = make_station(tmp_path / "waiting", "Waiting")
    assert "Waiting\tissuing\twaiting" in waiting.run("ca", "status").stdout


def test_nothing_new_trusts_a_root_that_brokers_do_not_know_yet(works: Works, tmp_path: Path) -> None:
    state = make_station(tmp_path / "line", "Line", "--key-type", "ec-p256")
    state.register("press-1")
    place = tmp_path / "mosquitto"
    place.mkdir()
    state.run("config", "set", "broker_ca_file", place / "ca.crt")
    state.run("sync-acl")
    assert names(place / "ca.crt") == ["CN=Line"]
    answer = works.sign(works.request(state))
    (place / "ca.crt").unlink()
    (place / "ca.crt").mkdir()
    works.install(state, answer, expect=8)
    for words in (("register", "press-2"), ("renew", "press-1"), ("export", "press-1", "--out", tmp_path / "out")):
        refused = state.run(*words, expect=8)
        assert str(place / "ca.crt") in refused.stderr
        assert "do not have the chain of this CA yet" in refused.stderr
    assert [one["device_id"] for one in state.run("list", "--json").json_lines] == ["press-1"]
    assert not (tmp_path / "out").exists()
    state.run("revoke", "press-1", expect=(0, 8))
    (place / "ca.crt").rmdir()
    state.run("gen-crl", "--here")
    state.register("press-2")
    assert "CN=Works Root" in names(place / "ca.crt")


def test_no_verb_of_a_root_works_elsewhere(station: State, works: Works) -> None:
    request = works.request(station)
    for words in (("ca", "sign", request, "--out", works.stick / "no"), ("ca", "revoke", "Station 7")):
        assert "not a root's" in station.run(*words, expect=6).stderr
    for words in (("ca", "request", "--out", works.stick / "no"), ("ca", "install", works.stick / "request.answer")):
        assert "this is a root" in works.root.run(*words, expect=6).stderr


def test_a_request_is_never_written_over(station: State, works: Works) -> None:
    path = works.request(station)
    before = path.read_bytes()
    assert "exists already" in station.run("ca", "request", "--out", path, expect=4).stderr
    assert path.read_bytes() == before


@pytest.mark.filterwarnings("ignore:Parsed a serial number")  # the library's opinion of a changed octet
def test_no_octet_of_an_answer_can_be_another(works: Works, station: State) -> None:
    """Of certificates and list: each signature stands over all that it counts for."""
    answer = works.sign(works.request(station))
    ders = pem.pem_blocks("CERTIFICATE", answer.read_bytes())
    lists = pem.pem_blocks("X509 CRL", answer.read_bytes())
    place = str(station.path), {}, Caller("test", "test", "test"), lambda: datetime.now(UTC).replace(microsecond=0)
    with open_state(*place) as opened:
        good = plan_install(opened, AnswerFile(tuple(ders), tuple(lists)), opened.clock())
        assert good.chain == tuple(ders)
        for position in range(0, len(ders[0]), 3):
            changed = ders[0][:position] + bytes([ders[0][position] ^ 0x80]) + ders[0][position + 1 :]
            with pytest.raises((PolicyError, ConflictError)):
                plan_install(opened, AnswerFile((changed, *ders[1:]), tuple(lists)), opened.clock())
        for position in range(0, len(lists[0]), 3):
            changed = lists[0][:position] + bytes([lists[0][position] ^ 0x80]) + lists[0][position + 1 :]
            with pytest.raises((PolicyError, ConflictError)):
                plan_install(opened, AnswerFile(tuple(ders), (changed,)), opened.clock())
