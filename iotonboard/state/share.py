"""A share is no place for a state: where locks do not work, two commands write one database at once."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from iotonboard.disk.permissions import file_system
from iotonboard.errors import StateError
from iotonboard.store.lock_probe import lock_keeps_others_out

if TYPE_CHECKING:
    from iotonboard.store.store import Store

# As /proc/self/mountinfo calls them; what a FUSE program is called stands behind the dot.
_NETWORK = frozenset(
    (
        "9p", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "gfs2", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs",
        "nfs3", "nfs4", "ocfs2", "orangefs", "prl_fs", "pvfs2", "smb", "smb2", "smb3", "smbfs", "vboxsf", "virtiofs",
        "vmhgfs",
    )
)  # fmt: skip
_NETWORK_PROGRAMS = (
    "afp", "ceph", "curlftpfs", "davfs", "gcsfuse", "glusterfs", "gvfsd", "moosefs", "mfs", "rclone", "s3fs",
    "seaweedfs", "smbnetfs", "sshfs", "vmhgfs", "weed", "juicefs", "goofys",
)  # fmt: skip
ELSEWHERE = "keep the state on a disk of this machine, and carry a backup elsewhere: 'iotonboard backup FILE'"


def network_kind(path: str) -> str:
    """What kind of network file system ``path`` lies on, or the nearest folder above it; empty when it is none."""
    kind = file_system(path)
    program = kind.removeprefix("fuse.") if kind.startswith("fuse.") else ""
    return kind if kind in _NETWORK or (program and program.startswith(_NETWORK_PROGRAMS)) else ""


def refuse_network(path: str) -> None:
    """Refuse to make a database on a network file system.

    Raises:
        StateError: it lies there.
    """
    if kind := network_kind(path):
        raise StateError(f"{os.path.dirname(path)!r} is on a network share ({kind})", hint=ELSEWHERE)


def refuse_without_locks(store: Store) -> None:
    """Inside a transaction, make sure that it keeps other processes out.

    Raises:
        StateError: a child process could take its lock.
    """
    if lock_keeps_others_out(store) is False:
        raise StateError(f"locks do not work in {os.path.dirname(store.path)!r}", hint=ELSEWHERE)
