"""The state directory's layout: where everything is."""

from __future__ import annotations

import os
from dataclasses import dataclass

from iotonboard.errors import PolicyError, StateError
from iotonboard.ids import folder_name
from iotonboard.state import config

ADDED_CAS = "cas"  # folder of the CAs that were added, in a state and in the folder of its CA


@dataclass(frozen=True, slots=True)
class Folder:
    """The folder of one device or broker, and the files in it; ``stem`` begins the names of certificate and key."""

    path: str
    stem: str

    @property
    def certificate(self) -> str:
        """The newest certificate, PEM."""
        return os.path.join(self.path, f"{self.stem}.crt")

    @property
    def key(self) -> str:
        """Its key, encrypted PKCS#8 in PEM; not there when it was made elsewhere, or purged."""
        return os.path.join(self.path, f"{self.stem}.key")

    @property
    def bundle(self) -> str:
        """The AES-256 ZIP of a device with a key that was made here."""
        return os.path.join(self.path, "creds.zip")


@dataclass(frozen=True, slots=True)
class Paths:
    """Where everything is. ``certs``, ``acl`` and ``crl`` may lie outside of the state directory.

    ``broker_ca`` is where the trust anchors are published for the broker too; empty where they are not.
    """

    root: str
    config: str
    database: str
    certs: str
    acl: str
    crl: str
    outbox: str
    broker_ca: str = ""

    @property
    def fetched_crl(self) -> tuple[str, str]:
        """The CRL as it is fetched, beside the broker's: in PEM, and in DER that of the CA that issues."""
        folder = os.path.dirname(self.crl)
        return os.path.join(folder, "crl-idp.pem"), os.path.join(folder, "crl-idp.der")

    @property
    def crl_der(self) -> str:
        """The CRL of a CA that was added, in DER: that of the CA that issues."""
        return os.path.join(self.certs, "crl.der")

    @property
    def old_crl_der(self) -> str:
        """Likewise, that of the CA before, during a rollover."""
        return os.path.join(self.certs, "crl-old.der")

    @property
    def generations(self) -> str:
        """Copies of the CRLs and ACLs that were published last."""
        return os.path.join(self.root, "generations")

    @property
    def replaced(self) -> str:
        """A folder for each CA whose key was stolen."""
        return os.path.join(self.root, "replaced")

    @property
    def ca_certificate(self) -> str:
        """The trust anchors, PEM."""
        return os.path.join(self.certs, "ca.crt")

    @property
    def ca_for_broker(self) -> str:
        """The trust anchors as the broker reads them."""
        return self.broker_ca or self.ca_certificate

    @property
    def devices(self) -> str:
        """The folders of all devices."""
        return os.path.join(self.certs, "devices")

    @property
    def brokers(self) -> str:
        """The folders of all brokers."""
        return os.path.join(self.certs, "brokers")

    def device(self, device_id: str) -> Folder:
        """The folder of one device; the id is checked again here, where it becomes a path."""
        return Folder(os.path.join(self.devices, folder_name(device_id)), "device")

    def broker(self, host: str) -> Folder:
        """The folder of one broker; colons of IPv6 addresses become dashes, for Windows."""
        return Folder(os.path.join(self.brokers, host.replace(":", "-").replace("*", "_")), "broker")


def resolve_paths(root: str, settings: config.Config) -> Paths:
    """Turn the configured names into absolute paths.

    Raises:
        PolicyError: one file would be used for two things.
        StateError: ``root`` is relative to a folder that was deleted.
    """
    root = _absolute(root)
    certs = config.resolve_path(root, settings["ca_root_path"])
    paths = Paths(
        root=root,
        config=os.path.join(root, config.FILE_NAME),
        database=database_of(root, settings),
        certs=certs,
        acl=config.resolve_path(root, settings["broker_acl_file"]),
        crl=config.resolve_path(root, settings["broker_crl_file"] or os.path.join(certs, "crl.pem")),
        outbox=os.path.join(root, "outbox"),
        broker_ca=config.resolve_path(root, settings["broker_ca_file"]) if settings["broker_ca_file"] else "",
    )
    _refuse_clashes(paths)
    return paths


def database_of(root: str, settings: config.Config) -> str:
    """Where the database is, whether the other settings go together or not.

    Raises:
        StateError: ``root`` is relative to a folder that was deleted.
    """
    return config.database_path(_absolute(root), settings["database_url"])


def _absolute(root: str) -> str:
    try:
        return os.path.abspath(root)
    except FileNotFoundError:
        raise StateError("the current folder was deleted", hint="'cd' into one that exists") from None


def _refuse_clashes(paths: Paths) -> None:
    """Refuse settings by which the CRL or the ACL would be written over the database, a key or each other."""
    folders = {os.path.normcase(path) for path in (paths.root, paths.certs, paths.outbox)}
    database = [paths.database + suffix for suffix in ("", "-journal", "-shm", "-wal")]
    published = (paths.ca_certificate, paths.acl, paths.crl, *filter(None, [paths.broker_ca]), *paths.fetched_crl)
    files = [os.path.normcase(path) for path in (*database, paths.config, *published)]
    added = tuple(os.path.normcase(os.path.join(path, ADDED_CAS, "")) for path in (paths.root, paths.certs))
    for path in files:
        is_key = os.path.dirname(path) == os.path.normcase(paths.certs) and path.endswith(".key")
        if path in folders or is_key or path.startswith(added) or files.count(path) > 1:
            raise PolicyError(
                f"{path!r} would be used for two things",
                hint="database_url, broker_acl_file, broker_crl_file and broker_ca_file need files of their own:"
                f" correct that setting in {config.FILE_NAME} or in the environment",
            )
