"""One open office: its folder, its registry, what it decided, and what this machine saw of it last.

``office.json`` in the folder is this machine's own memory: which registry it works on, and the row of the trail that
was there last. A registry that was put back from an older copy, or rewritten by whoever administers its server, is
found by that.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from iotonboard.disk.files import PRIVATE, write_atomic
from iotonboard.disk.reading import read_file
from iotonboard.errors import IotOnboardError, KeyUnavailableError, NotFoundError, PolicyError, StateError
from iotonboard.office import decisions
from iotonboard.office.key import CERTIFICATE_FILE, read_chain
from iotonboard.office.machines import take_certificate
from iotonboard.office.reading_trail import Believer, Reading, read_trail
from iotonboard.office.settings import place_of, read_settings, registry_url
from iotonboard.pki.signatures import sign_statement
from iotonboard.store.audit import GENESIS, AuditHead
from iotonboard.store.registry import trail
from iotonboard.store.registry.damage import damaged_value
from iotonboard.store.registry.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from iotonboard.model import Caller
    from iotonboard.office.decisions import Decisions
    from iotonboard.office.key import OfficeKey

Value = TypeVar("Value")
MEMORY = "office.json"  # whose being there says that a folder is an office's
WAIT_S = 30.0
_LARGEST = 1 << 16
# What a value leads to that nobody expects there; where the registry holds none, it is a defect of the program.
_IMPOSSIBLE = (ArithmeticError, LookupError, MemoryError, RecursionError, TypeError, ValueError)
_RESTORE = "somebody wrote into the registry: bring the newest copy back"
_MEND = "bring the newest copy of the registry back, or put that value right"
_BRING_BACK = "bring it back from a backup of the office's folder"


def is_office(root: str) -> bool:
    """Say whether a folder is an office's, also where its memory was lost."""
    certificate = os.path.join(root, "certs", CERTIFICATE_FILE)
    return any(map(os.path.exists, (os.path.join(root, MEMORY), certificate)))


@dataclass(frozen=True, slots=True)
class Memory:
    """What this machine knows by itself: the registry's id, and the newest row of its trail that it saw."""

    registry: str
    seen: AuditHead


def read_memory(root: str) -> Memory:
    """Read what this machine remembers.

    Raises:
        StateError: it cannot be read.
    """
    path = os.path.join(root, MEMORY)
    try:
        said = json.loads(read_file(path, limit=_LARGEST))
        return Memory(str(said["registry"]), AuditHead(int(said["seq"]), bytes.fromhex(said["hash"])))
    except NotFoundError as error:
        hint = f"{_BRING_BACK}; where 'iotonboard init-office' was interrupted, run it again"
        raise StateError(f"{path!r} is gone", hint=hint) from error
    except (ValueError, KeyError, TypeError) as error:
        raise StateError(f"{path!r} cannot be read", hint=_BRING_BACK) from error


def write_memory(root: str, memory: Memory) -> None:
    """Remember; durable when this returns."""
    said = {"registry": memory.registry, "seq": memory.seen.seq, "hash": memory.seen.hash.hex()}
    write_atomic(os.path.join(root, MEMORY), json.dumps(said).encode("ascii") + b"\n", PRIVATE)


@dataclass(slots=True)
class Office:
    """An office that was opened. ``chain`` (DER): this machine's certificate, and those above it."""

    root: str
    settings: Mapping[str, str]
    registry: Registry
    memory: Memory
    chain: tuple[bytes, ...]
    reading: Reading
    caller: Caller
    clock: Callable[[], datetime]
    begun: int = 0  # newest row of the trail when the open transaction began
    lacking: StateError | None = None  # a file of the folder that an urgent command went past

    @property
    def decisions(self) -> Decisions:
        """What stands, as the trail tells."""
        return self.reading.decisions

    @property
    def problem(self) -> StateError | None:
        """Why the trail is not believed, where it is not; then only revocations are taken, and nothing is signed."""
        return self.lacking or self.reading.problem

    @property
    def certs(self) -> str:
        """The folder of the key, the certificate and what is published."""
        return os.path.join(self.root, "certs")

    def place(self, setting: str) -> str:
        """The absolute path that a setting names."""
        return place_of(self.root, self.settings[setting])

    @contextlib.contextmanager
    def transaction(self) -> Iterator[datetime]:
        """Hold the registry's lock, with the decisions as they are under it; yields the time.

        Raises:
            BusyError: another machine or command holds it.
        """
        with self.registry.transaction():
            self.look_again()
            self.begun = self.reading.newest.seq
            yield self.clock()

    def look_again(self) -> None:
        """Read what was decided meanwhile."""
        reader = Believer(self.memory.registry, self.memory.seen, self.chain)
        self.reading = read_trail(self.registry, reader, self.reading)

    def decide(self, now: datetime, what: str, *, subject: str, serial: str = "", **detail: object) -> None:
        """Record a decision (``office.decisions``) in the open transaction."""
        trail.append(
            self.registry, self.caller, now, subject=subject, serial=serial, detail={decisions.DECISION: what, **detail}
        )

    def seal(self, key: OfficeKey) -> None:
        """Sign the head of the trail, at the end of a transaction whose changes it covers.

        Raises:
            StateError: the trail is not the one that was signed before: nothing covers that up.
            KeyUnavailableError: nobody trusts this machine.
        """
        if self.problem is not None:
            raise self.problem
        if key.id not in self.decisions.machines:
            raise KeyUnavailableError(
                "this machine is not trusted by the office's first one, or not any more",
                hint="there: iotonboard machine trust NAME",
            )
        signed = trail.signed_head(self.registry)
        for row in trail.rows(self.registry, signed.head.seq if signed else 0):
            if row.seq <= self.begun and not decisions.counts_unsealed(row):
                raise StateError(
                    f"row {row.seq} of the office's trail gives trust and was never sealed: nobody here wrote it",
                    hint=_RESTORE,
                )
        newest = trail.head(self.registry)
        signature = sign_statement(key.signer, trail.head_statement(self.memory.registry, newest))
        trail.set_signed_head(self.registry, trail.MachineHead(newest, key.id, signature))

    def remember(self) -> None:
        """Read what was decided and note the newest row that was seen, once a transaction is committed.

        Of a trail that is not believed nothing is noted: what this machine saw before shows it still.
        """
        self.look_again()
        if self.problem is None:  # else what is there is not what was seen, and stays known as that
            self.memory = Memory(self.memory.registry, self.reading.newest)
            write_memory(self.root, self.memory)


class Files:
    """The files of an office's folder. ``lacking``: the first that an urgent command went past, in words."""

    def __init__(self, root: str, *, is_urgent: bool) -> None:
        self.root, self.is_urgent = root, is_urgent
        self.lacking: StateError | None = None

    def read(self, ask: Callable[[], Value], otherwise: Callable[[], Value]) -> Value:
        """What a file says; to an urgent command ``otherwise`` where it cannot be read."""
        try:
            return ask()
        except IotOnboardError as error:
            if not self.is_urgent:
                raise
            self.lacking = self.lacking or StateError(error.message, hint=error.hint)
            return otherwise()


def _open_registry(root: str, url: str, files: Files) -> Registry:
    try:
        return Registry.open(registry_url(root, url), timeout_s=WAIT_S)
    except StateError:
        if files.lacking is not None:  # which would have named another one
            raise files.lacking from None
        raise


@contextlib.contextmanager
def open_office(
    root: str, environment: Mapping[str, str], caller: Caller, clock: Callable[[], datetime], *, is_urgent: bool = False
) -> Iterator[Office]:
    """Open an office for the time of a command.

    An ``is_urgent`` one goes on past files of the folder that are gone or cannot be read: it needs the registry alone.

    Raises:
        StateError: there is none, its registry is another one, or an older copy.
        BusyError: the registry cannot be reached.
        PolicyError: a setting cannot be.
    """
    if not is_office(root):
        raise StateError(f"there is no office in {root!r}", hint="'iotonboard init-office' makes one")
    files = Files(root, is_urgent=is_urgent)
    settings = files.read(
        partial(read_settings, root, environment), partial(read_settings, root, environment, past=True)
    )
    registry = _open_registry(root, settings["database_url"], files)
    try:
        unknown = Memory(registry.value("id") or "", AuditHead(0, GENESIS))
        memory = files.read(partial(read_memory, root), lambda: unknown)
        if registry.value("id") != memory.registry:
            raise StateError(
                f"{registry.place!r} is another office's registry", hint="check DATABASE_URL, or the office's folder"
            )
        chain = files.read(partial(read_chain, os.path.join(root, "certs")), tuple[bytes, ...])
        reading = read_trail(registry, Believer(memory.registry, memory.seen, chain))
        if chain:
            chain = take_certificate(os.path.join(root, "certs"), chain, reading.decisions)
        yield Office(root, settings, registry, memory, chain, reading, caller, clock, lacking=files.lacking)
    except _IMPOSSIBLE as error:
        if found := damaged_value(registry):
            raise StateError(f"the registry {registry.place!r} holds what cannot be in {found}", hint=_MEND) from error
        raise
    finally:
        registry.close()


def refuse_untrusted(office: Office) -> None:
    """End a command that would give something out of a trail that is not believed.

    Raises:
        StateError: it is not.
    """
    if office.problem is not None:
        raise office.problem


def refuse_elsewhere(root: str, command: str) -> None:
    """End a command of an office in another kind of state.

    Raises:
        PolicyError: it is one.
    """
    if not is_office(root) and os.path.exists(os.path.join(root, "devices.db")):
        raise PolicyError(
            f"this is a station's state: no {command!r} here", hint="name the office's folder with --state"
        )
