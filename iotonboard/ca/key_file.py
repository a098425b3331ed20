"""The two files that open a CA: its private key, and the random passphrase file that ``--generate-key-file`` makes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from iotonboard.ca.passphrase import Passphrase, parse_passphrase_file
from iotonboard.errors import ConflictError
from iotonboard.files import create_exclusive, read_file, write_atomic
from iotonboard.permissions import TAKEN_HINT
from iotonboard.pki import pem
from iotonboard.pki.keys import HUMAN_ITERATIONS, RANDOM_ITERATIONS, dump_key, encrypt_key

if TYPE_CHECKING:
    from iotonboard.pki.keys import PrivateKey

CA_KEY_FILE = "ca.key"


def encode_ca_key(key: PrivateKey, passphrase: Passphrase | None) -> bytes:
    """The CA key as PEM: PBES2 with a slow KDF for a human's passphrase, a fast one for a random key file."""
    plain = dump_key(key)
    if passphrase is None:
        return pem.pem_encode("PRIVATE KEY", plain)
    iterations = RANDOM_ITERATIONS if passphrase.is_random_key else HUMAN_ITERATIONS
    der = encrypt_key(plain, passphrase.octets, iterations=iterations, salt=os.urandom(16), iv=os.urandom(16))
    return pem.pem_encode("ENCRYPTED PRIVATE KEY", der)


def generate_key_file(path: str, noise: bytes, *, is_resumed: bool = False) -> Passphrase:
    """Write 32 random octets as hexadecimal into a new file (0600) and return them as the passphrase.

    ``is_resumed``: the file may be there from a call that was interrupted, and is then used; one that is
    still empty was never used and is filled.

    Raises:
        ConflictError: the file exists, and when resumed, is no such file.
        BusyError: the disk refuses.
    """
    text = noise.hex().encode("ascii")
    if is_resumed and os.path.isfile(path) and not os.path.islink(path):
        if found := read_file(path, limit=1 << 16):
            passphrase = parse_passphrase_file(found)
            if passphrase.is_random_key:
                return passphrase
            raise ConflictError(f"{path!r} exists and is no random key file", hint=TAKEN_HINT)
        write_atomic(path, text + b"\n")
    else:
        create_exclusive(path, text + b"\n")
    return Passphrase(text, is_random_key=True)
