"""Publishing in steps: each alone, each failing alone, and none doing again what is done."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from iotonboard.errors import BusyError, ConflictError, PolicyError, Unpublished, UnpublishedError
from iotonboard.state import publication
from iotonboard.state.publication import EVERYTHING, Step, publish, refuse_unpublished
from iotonboard.state.state import State as OpenState

from support.faults import become_nobody, count_transactions
from support.program import State

DELIVERED = "outbox/" + "5" * 32 + "/creds.zip"
GENERATION = "generations/00000002"
# What each step writes, below the state directory.
FILES: dict[Step, set[str]] = {
    publication.publish_crl: {"certs/crl.pem"},
    publication.publish_ca: {"certs/ca.crt"},
    publication.publish_acl: {"mosquitto.acl"},
    publication.publish_device_files: {
        f"certs/devices/press-{number}/{name}"
        for number in (1, 2)
        for name in ("device.crt", "device.key", "creds.zip")
    },
    publication.publish_broker_files: {"certs/brokers/broker.test/broker.crt", "certs/brokers/broker.test/broker.key"},
    publication.publish_replaced: set(),  # only where a CA was replaced
    publication.keep_generation: {f"{GENERATION}/crl.pem", f"{GENERATION}/mosquitto.acl"},
    publication.settle_deliveries: {DELIVERED},
}
ALL_FILES = set().union(*FILES.values())
# A delivery is a copy of the bundle in the device's folder; a generation is one of the CRL and the ACL.
NEEDS: dict[Step, tuple[Step, ...]] = {
    publication.settle_deliveries: (publication.publish_device_files,),
    publication.keep_generation: (publication.publish_crl, publication.publish_acl),
}


def without_change(content: bytes) -> bytes:
    """A file without the number of the ACL's change, which rises."""
    return re.sub(rb"change [0-9]+ of [0-9a-f]+, row [0-9]+ [0-9a-f]+", b"", content)


def files(state: State) -> set[str]:
    """The published files that are there; not the CA's key, settings and database."""
    return {
        name
        for path in state.path.rglob("*")
        if path.is_file() and not (name := path.relative_to(state.path).as_posix()).startswith(("devices.db", "iot"))
    } - {"certs/ca.key"}


@pytest.mark.parametrize("step", EVERYTHING, ids=lambda step: step.__name__)
def test_a_step_writes_its_files_and_no_others(state: State, unpublished: OpenState, step: Step) -> None:
    assert files(state) == set()
    needed = NEEDS.get(step, ())
    assert publish(unpublished, *needed, step) == []
    assert files(state) == FILES[step].union(*(FILES[one] for one in needed))


def test_all_steps_write_what_was_there(published: State, state: State, unpublished: OpenState) -> None:
    assert publish(unpublished, *EVERYTHING) == []
    assert files(state) == ALL_FILES
    for name in ALL_FILES - {DELIVERED} - FILES[publication.keep_generation]:
        if "press-2/creds.zip" not in name:  # the fixture has one bundle for both
            written, before = ((one.path / name).read_bytes() for one in (state, published))
            assert without_change(written) == without_change(before), name
    assert (state.path / DELIVERED).read_bytes() == (published.device("press-1") / "creds.zip").read_bytes()
    assert state.json("health")["status"] == "ok"


def test_publishing_again_changes_nothing(state: State, unpublished: OpenState) -> None:
    publish(unpublished, *EVERYTHING)
    before = state.snapshot(), {path: os.stat(path).st_mtime_ns for path in state.path.rglob("*.*")}
    assert publish(unpublished, *EVERYTHING) == []
    assert (state.snapshot(), {path: os.stat(path).st_mtime_ns for path in before[1]}) == before


def _folder_at(name: str) -> Callable[[State], None]:
    return lambda state: (state.path / name).mkdir(parents=True)


def _broken_line(state: State) -> None:
    """At it mosquitto lets everybody in at a reload."""
    state.acl.write_text("topic\treadwrite plant/#\n")


def _link(state: State) -> None:
    state.crl.symlink_to("elsewhere.pem")


# What stands in the way of a step: what is not published then, and why.
OBSTACLES: dict[str, tuple[Callable[[State], None], set[str], type[Exception], str]] = {
    "a folder for the CRL": (
        _folder_at("certs/crl.pem"), FILES[publication.publish_crl] | FILES[publication.keep_generation], ConflictError,
        "crl",
    ),
    "a link for the CRL": (
        _link, FILES[publication.publish_crl] | FILES[publication.keep_generation], ConflictError, "crl"
    ),
    "a folder for the CA file": (_folder_at("certs/ca.crt"), FILES[publication.publish_ca], ConflictError, "ca"),
    "a folder for the ACL": (
        _folder_at("mosquitto.acl"), FILES[publication.publish_acl] | FILES[publication.keep_generation], ConflictError,
        "acl",
    ),
    "a broken line in the ACL": (
        _broken_line, FILES[publication.keep_generation], PolicyError, "acl"
    ),
    "a folder for a device's key": (
        _folder_at("certs/devices/press-2/device.key"), {"certs/devices/press-2/device.key"}, ConflictError,
        "device files",
    ),
    "a folder for a broker's certificate": (
        _folder_at("certs/brokers/broker.test/broker.crt"), {"certs/brokers/broker.test/broker.crt"}, ConflictError,
        "broker files",
    ),
    "a folder for the copy of the CRL": (
        _folder_at(f"{GENERATION}/crl.pem"), FILES[publication.keep_generation], ConflictError, "generation"
    ),
    "a folder for a delivery": (_folder_at(DELIVERED), {DELIVERED}, ConflictError, "deliveries"),
}  # fmt: skip


@pytest.mark.parametrize("name", OBSTACLES)
def test_a_step_that_fails_leaves_the_others_published(state: State, unpublished: OpenState, name: str) -> None:
    obstruct, missing, error, what = OBSTACLES[name]
    obstruct(state)
    (refused,) = publish(unpublished, *EVERYTHING)
    assert refused.what == what
    assert isinstance(refused.error, error)
    assert refused.path.startswith(str(state.path))
    assert files(state) == ALL_FILES - missing
    with pytest.raises(UnpublishedError) as told:
        refuse_unpublished([refused])
    assert (told.value.unpublished, told.value.exit_code) == ((refused,), 8)
    assert [one.what for one in publish(unpublished, *EVERYTHING)] == [what], "it is told until it is gone"


def test_what_was_refused_is_published_once_the_way_is_free(state: State, unpublished: OpenState) -> None:
    for name in ("certs/crl.pem", "certs/devices/press-1/device.crt"):
        _folder_at(name)(state)
    assert [one.what for one in publish(unpublished, *EVERYTHING)] == ["crl", "device files"]
    for name in ("certs/crl.pem", "certs/devices/press-1/device.crt"):
        (state.path / name).rmdir()
    assert publish(unpublished, *EVERYTHING) == []
    assert files(state) == ALL_FILES


def test_a_row_that_the_database_refuses_harms_one_step(state: State, unpublished: OpenState) -> None:
    with closing(sqlite3.connect(state.path / "devices.db")) as connection, connection:
        connection.execute("INSERT INTO meta SELECT 'no', max(generation) FROM crl")
        connection.execute("CREATE UNIQUE INDEX no ON meta (value) WHERE key IN ('no', 'crl_published')")
    (refused,) = publish(unpublished, *EVERYTHING)
    assert refused.what == "crl"
    assert files(state) >= ALL_FILES - FILES[publication.keep_generation]
    assert unpublished.store.meta("acl_published") == unpublished.store.meta("acl_changes")


def test_a_database_that_gives_up_the_transaction_holds_no_later_step_back(
    state: State, unpublished: OpenState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As SQLite does when its disk is full; what was noted by then is noted again by the next command."""

    def lose(opened: OpenState) -> None:
        opened.store.execute("ROLLBACK")
        raise BusyError("the disk is full")

    monkeypatch.setattr(publication, "_write_ca", lose)
    (refused,) = publish(unpublished, *EVERYTHING)
    assert refused.what == "database"
    # The note of the CRL is lost with it, and a generation is kept of what is noted.
    assert files(state) == ALL_FILES - FILES[publication.publish_ca] - FILES[publication.keep_generation]
    assert not unpublished.store.in_transaction


def test_a_database_that_lost_a_published_list_publishes_no_older_one(state: State, unpublished: OpenState) -> None:
    with unpublished.store.transaction():
        unpublished.store.set_meta("crl_published", 7)
    refused = publish(unpublished, *EVERYTHING)[0]
    assert (refused.what, type(refused.error)) == ("crl", ConflictError)
    assert "CRL generation 7" in refused.error.message
    assert files(state) >= ALL_FILES - FILES[publication.publish_crl] - FILES[publication.keep_generation]


def test_a_lock_that_another_command_holds_is_told_once(unpublished: OpenState, state: State) -> None:
    with closing(sqlite3.connect(state.path / "devices.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with unpublished.store.without_waiting():
            refused = publish(unpublished, *(step for step in EVERYTHING if step is not publication.settle_deliveries))
    assert [(one.what, type(one.error)) for one in refused] == [("database", BusyError)]
    assert files(state) == set()


def test_the_broker_s_files_come_first_whatever_the_order(
    unpublished: OpenState, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[str] = []
    steps = []
    for step in EVERYTHING[:4]:
        name = step.__name__

        def note(_: OpenState, name: str = name) -> list[Unpublished]:
            taken.append(name)
            return []

        monkeypatch.setattr(publication, name, note)
        steps.append(note)
    publish(unpublished, *reversed(steps))
    assert taken == ["publish_crl", "publish_ca", "publish_acl", "publish_device_files"]


def test_a_disk_that_is_away_gets_no_ca_file(state: State, unpublished: OpenState) -> None:
    state.certs.rename(state.path / "away")
    publish(unpublished, publication.publish_ca)
    assert not state.certs.exists()
    (state.path / "away").rename(state.certs)
    assert publish(unpublished, publication.publish_ca) == []
    assert state.ca_cert.exists()


def test_what_one_user_may_not_write_is_not_all(state: State, unpublished: OpenState) -> None:
    """The folder of the devices is read-only for the user: CRL, CA file and ACL are published all the same."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    with tempfile.TemporaryDirectory() as place:  # one that everybody may enter
        theirs = State(Path(shutil.copytree(state.path, Path(place, "state"))), state.passphrase_file)
        for path in (Path(place), theirs.path, *theirs.path.rglob("*")):
            path.chmod(0o777 if path.is_dir() else 0o666)
        (theirs.certs / "devices").mkdir()
        result = theirs.run("sync-acl", before=become_nobody, expect=8)
        assert "certs/devices" in result.stderr
        lacking = FILES[publication.publish_device_files] | FILES[publication.settle_deliveries]
        assert files(theirs) == ALL_FILES - lacking


# One for the record, one for what was published; 'revoke' signs its CRL in a third one.
TRANSACTIONS = {
    ("register", "press-3"): 2,
    ("gen-crl",): 2,
    ("revoke", "press-1"): 3,
    ("revoke", "press-1", "--defer"): 2,
}


@pytest.mark.parametrize("words", TRANSACTIONS, ids=" ".join)
def test_a_command_takes_few_transactions(state: State, tmp_path: Path, words: tuple[str, ...]) -> None:
    count = tmp_path / "transactions"
    state.run(*words, before=count_transactions(str(count)))
    assert len(count.read_text().split()) == TRANSACTIONS[words]
