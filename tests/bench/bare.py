"""Bare loops: the least that a task can take, without any promise. Each is run as a process of its own.

python bare.py ec DATABASE COUNT        key, signature and commit in thousands, on all cores
python bare.py bundle DATABASE COUNT    the same with PBKDF2 for the four entries of an AES bundle
python bare.py rsa COUNT                RSA-2048 keys, on all cores
python bare.py acl DATABASE FILE        read the ids of a state and write the lines of the per-device style
"""

from __future__ import annotations

import sqlite3
import sys


def _certificates(count: int, entries: int) -> list[bytes]:
    """Certificates with the extensions that a device gets, one loop for one worker."""
    import datetime as dt
    import os
    import uuid

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    ca, issuer = ec.generate_private_key(ec.SECP256R1()), name("CA")
    begin = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
    constraints = x509.BasicConstraints(ca=False, path_length=None)
    usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
    purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.public_key())
    made = []
    for _ in range(count):
        key, device = ec.generate_private_key(ec.SECP256R1()), str(uuid.uuid4())
        builder = (
            x509.CertificateBuilder()
            .issuer_name(issuer)
            .subject_name(name(device))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + dt.timedelta(365))
            .add_extension(constraints, critical=True)
            .add_extension(usage, critical=True)
            .add_extension(purpose, critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(authority, critical=False)
            .add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"urn:uuid:{device}")]), critical=False
            )
        )
        made.append(builder.sign(ca, hashes.SHA256()).public_bytes(Encoding.DER))
        for _ in range(entries):
            # The library's is twice as fast as hashlib's.
            PBKDF2HMAC(hashes.SHA1(), 66, os.urandom(16), 1000).derive(b"26 letters and some dashes")
    return made


def _ec(part: int) -> list[bytes]:
    return _certificates(part, 0)


def _bundle(part: int) -> list[bytes]:
    return _certificates(part, 4)


def _rsa(_number: int) -> None:
    from cryptography.hazmat.primitives.asymmetric import rsa

    rsa.generate_private_key(65537, 2048)


def certificates(work: str, database: str, count: int) -> None:
    """Make certificates on all cores and commit them in thousands."""
    from concurrent.futures import ProcessPoolExecutor

    part = 100
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE c (id INTEGER PRIMARY KEY, der BLOB)")
    with ProcessPoolExecutor() as pool:
        waiting: list[bytes] = []
        for made in pool.map(_bundle if work == "bundle" else _ec, [part] * (count // part)):
            waiting += made
            if len(waiting) >= 1000:
                _commit(connection, waiting)
        _commit(connection, waiting)


def _commit(connection: sqlite3.Connection, waiting: list[bytes]) -> None:
    with connection:
        connection.executemany("INSERT INTO c (der) VALUES (?)", [(der,) for der in waiting])
    waiting.clear()


def rsa_keys(count: int) -> None:
    """Make RSA keys on all cores."""
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor() as pool:
        list(pool.map(_rsa, range(count), chunksize=2))


def acl(database: str, path: str) -> None:
    """Write one block per device."""
    with open(path, "w") as out:
        out.writelines(
            f"user {name}\ntopic readwrite devices/{name}/#\n"
            for (name,) in sqlite3.connect(database).execute("SELECT device_id FROM device ORDER BY device_id")
        )


if __name__ == "__main__":
    task, *words = sys.argv[1:]
    if task == "acl":
        acl(*words)
    elif task == "rsa":
        rsa_keys(int(words[0]))
    else:
        certificates(task, words[0], int(words[1]))
