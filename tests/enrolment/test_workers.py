"""Worker processes: certificates in the order of their orders, whatever becomes of one, a worker, or the way to it."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator

import pytest
from iotonboard.ca.vault import Vault
from iotonboard.enrolment.desk import Desk, Issued, Order
from iotonboard.enrolment.workers import usable_cores, worker_processes
from iotonboard.errors import BusyError
from iotonboard.model import DeviceId, KeyType, Refused, SerialNumber
from iotonboard.pki.keys import public_key_matches
from iotonboard.pki.profiles import DeviceProfile

from support.faults import without_forks, without_semaphores
from support.pki import VALIDITY, issuer, signer
from support.program import State


@pytest.fixture(scope="module")
def desk() -> Desk:
    certificate = issuer().certificate_der
    return Desk(issuer(), (certificate,), (certificate,), Vault(bytes(range(32))), DeviceProfile(()))


def order(number: int, *, spki_der: bytes | None = None) -> Order:
    return Order(
        device_id=DeviceId(f"press-{number}"),
        line=number,
        serial=SerialNumber(1 << 100 | number),
        validity=VALIDITY,
        key_type=KeyType.EC_P256,
        csr_spki_der=spki_der,
        with_bundle=False,
    )


def test_each_order_has_its_answer_in_its_place(desk: Desk) -> None:
    orders = [order(number, spki_der=b"no key" if number in (3, 150) else None) for number in range(200)]
    with worker_processes(desk, 2, print) as workers:
        assert workers
        (results,) = workers.issue([orders])
    assert [number for number, result in enumerate(results) if isinstance(result, Refused)] == [3, 150]
    assert [(one.device_id, one.line) for one in results if isinstance(one, Refused)] == [
        ("press-3", 3),
        ("press-150", 150),
    ]
    assert all(
        result.certificate.serial == asked.serial
        for asked, result in zip(orders, results, strict=True)
        if isinstance(result, Issued)
    )


def test_few_groups_are_on_the_way(desk: Desk) -> None:
    """A list of any length is planned no further ahead than that, and comes back group by group."""
    taken: list[int] = []

    def groups() -> Iterator[list[Order]]:
        for number in range(9):
            taken.append(number)
            yield [order(number)]

    with worker_processes(desk, 1, print) as workers:
        assert workers
        for number, results in enumerate(workers.issue(groups())):
            assert [one.certificate.serial & 0xFF for one in results if isinstance(one, Issued)] == [number]
            assert len(taken) <= number + 4
    assert taken == list(range(9))


def test_the_key_reaches_a_worker_that_is_not_forked(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    with worker_processes(desk, 1, print) as workers:
        assert workers
        ((issued,),) = workers.issue([[order(1)]])
    assert isinstance(issued, Issued)
    assert not public_key_matches(issued.certificate.der, signer().key)
    assert desk.vault.bundle_password(issued.certificate.serial, issued.certificate.salt or b"") == issued.password


def test_a_worker_that_was_killed_is_said_so(desk: Desk) -> None:
    def groups() -> Iterator[list[Order]]:
        yield [order(1)]
        for child in multiprocessing.active_children():
            os.kill(child.pid or 0, signal.SIGKILL)
            child.join()
        while True:
            yield [order(2)]

    with worker_processes(desk, 1, print) as workers:
        assert workers
        with pytest.raises(BusyError, match="killed a worker"):
            list(workers.issue(groups()))


@pytest.mark.parametrize("missing", [without_semaphores, without_forks])
def test_a_machine_that_gives_no_processes(state: State, missing: Callable[[], None]) -> None:
    """/dev/shm is read-only or not there; the number of processes is used up."""
    result = state.run("register", "--count", "30", "--jobs", "2", "--json", before=missing)
    assert len(result.json_lines) == 30
    assert result.stderr.count("no worker processes can be started here") == 1


def test_cores_that_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: {3, 5, 7}, raising=False)
    assert usable_cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores() == 1
