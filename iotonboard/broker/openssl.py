"""What OpenSSL makes of certificates, chains, CRLs and CA files, asked from OpenSSL itself.

A broker verifies its clients with OpenSSL; so does ``openssl verify`` with the options below, and its errors are the
broker's. Each question costs one process for every chain of issuers that clients send along, for ``-untrusted`` counts
for all certificates of a process.

- The octets are copied into files of our own: a FIFO would hang, and a file named like an option would be one.
- ``-CRLfile`` reads a damaged list more kindly than the broker does, and then sees no list that stands in the CA file.
  ``-CAfile`` goes through the broker's strict reader and takes lists as well: it gets both files as one. What stands in
  the broker's list file beside lists is passed over there: here it gets a label that this reader passes over too.
- ``-no-CApath -no-CAstore``: the system's own CAs are no CAs of the broker.
- No environment: OPENSSL_CONF and SSL_CERT_FILE of the caller are not the broker's. The program has a path of our own
  choice, since ``verify`` and ``apply`` may be run by root.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Final

from iotonboard.model import to_epoch
from iotonboard.pki.pem import pem_encode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

PLACES: Final = "/usr/bin:/bin:/usr/local/bin:/opt/homebrew/bin"
TIMEOUT_S: Final = 30.0  # for all questions together; a list of a million entries is loaded in 3
_SECURITY_LEVEL = "2"  # Debian's default; OpenSSL 3.2 made it everybody's
_TRUST = ("-no-CApath", "-no-CAstore")
_CERTIFICATES_A_CALL = 2000  # 14 octets each in argv, which holds two million
_CONNECTS = "BIO_connect:"  # s_client comes so far when certificate and key are in order
_NOT_LOADED, _SOME_FAILED = 1, 2  # exit codes of 'openssl verify'
_ERROR = re.compile(r"^error ([0-9]+) at ([0-9]+) depth lookup: ([^\n]*)$", re.MULTILINE)
_END = re.compile(r"^error ([0-9]{6})\.pem: verification failed$", re.MULTILINE)
# Blocks that a reader of certificates and lists would take for one, beside lists (PEM_X509_INFO_read_bio).
_NO_LIST = re.compile(rb"^(-----(?:BEGIN|END) )(?:[A-Z0-9]+ )?(?:CERTIFICATE|PRIVATE KEY)(-----)", re.MULTILINE)
_OK = re.compile(r"^([0-9]{6})\.pem: OK$", re.MULTILINE)


class NotJudgedError(Exception):
    """OpenSSL could not be asked; the text says why. Never a verdict, and never in the way of anything."""


@dataclass(frozen=True, slots=True)
class Finding:
    """An error of OpenSSL's: its number (``X509_V_ERR_...``), how far above the certificate, and its own words."""

    number: int
    depth: int
    text: str


class LoadError(Exception):
    """OpenSSL does not read the CA file or the list that it was to judge by."""


_UNREADABLE: Final = Finding(-1, 0, "the certificate cannot be read")


@dataclass(frozen=True, slots=True)
class OpenSsl:
    """The program, a folder with copies of the broker's files, and the monotonic time at which patience ends."""

    program: str
    folder: str
    ends_s: float

    def loads(self, file: str) -> bool:
        """Say whether the strict reader takes ``ca.pem`` or ``crl.pem`` whole, and finds something in it.

        Raises:
            NotJudgedError: OpenSSL could not be asked.
        """
        return self._verify(*_TRUST, "-CAfile", file, "nothing.pem")[0] != _NOT_LOADED

    def judge(
        self, clients: Sequence[tuple[bytes, ...]], *, at: datetime, with_list: bool
    ) -> list[tuple[Finding, ...]]:
        """The errors of each client at a time, in OpenSSL's order; none where it is accepted.

        A client is its certificate and the issuers that it sends along, DER.

        Raises:
            LoadError: a file cannot be read, or there is nothing in the two.
            NotJudgedError: OpenSSL could not be asked.
        """
        answers: dict[int, tuple[Finding, ...]] = {}
        by_chain: dict[tuple[bytes, ...], list[int]] = {} if clients else {(): []}
        for number, client in enumerate(clients):
            by_chain.setdefault(client[1:], []).append(number)
        for chain, numbers in by_chain.items():
            for start in range(0, max(len(numbers), 1), _CERTIFICATES_A_CALL):
                group = numbers[start : start + _CERTIFICATES_A_CALL]
                answers |= self._judge_group(
                    {number: clients[number][0] for number in group}, chain, at, with_list=with_list
                )
        return [answers[number] for number in range(len(clients))]

    def _judge_group(
        self, certificates: dict[int, bytes], chain: tuple[bytes, ...], at: datetime, *, with_list: bool
    ) -> dict[int, tuple[Finding, ...]]:
        names = [f"{number:06d}.pem" for number in certificates]
        for name, certificate_der in zip(names, certificates.values(), strict=True):
            _write(self.folder, name, pem_encode("CERTIFICATE", certificate_der))
        words = ["-verify_name", "ssl_client", "-auth_level", _SECURITY_LEVEL, *_TRUST]
        words += ["-CAfile", "all.pem", "-crl_check"] if with_list else ["-CAfile", "ca.pem"]
        if chain:
            _write(self.folder, "chain.pem", b"".join(pem_encode("CERTIFICATE", one) for one in chain))
            words += ["-untrusted", "chain.pem"]
        code, output = self._verify(*words, "-attime", str(to_epoch(at)), *(names or ["nothing.pem"]))
        if code == _NOT_LOADED:
            raise LoadError
        answers = _parse(output)
        return {number: answers.get(number, (_UNREADABLE,)) for number in certificates}

    def refuses_pair(self, key_pem: bytes) -> str:
        """Say in OpenSSL's words why it cannot serve with the certificates of ``ca.pem`` and a key; empty when it can.

        It is asked as if it were to connect with them, to a Unix socket that is not there. The key goes to no disk.

        Raises:
            NotJudgedError: OpenSSL could not be asked.
        """
        pair = ["-cert", "ca.pem", "-cert_chain", "ca.pem", "-key", "/dev/stdin", "-keyform", "PEM", "-pass", "pass:"]
        _, output = self._run("s_client", "-unix", "./nothing", *pair, given=key_pem)
        if _CONNECTS not in output or "X509 V3 routines" in output:
            return output or "OpenSSL says nothing"
        _, output = self._run("pkey", "-inform", "PEM", "-passin", "pass:", "-check", "-noout", given=key_pem)
        return output if "Key is invalid" in output else ""

    def _verify(self, *words: str) -> tuple[int, str]:
        """Run ``openssl verify``; returns its exit code and what it printed, errors first."""
        code, output = self._run("verify", *words)
        if code not in {0, _NOT_LOADED, _SOME_FAILED}:
            raise NotJudgedError("openssl ended unexpectedly")
        return code, output

    def _run(self, *words: str, given: bytes = b"") -> tuple[int, str]:
        try:
            done = subprocess.run(  # noqa: S603 - an absolute path and words of our own
                [self.program, *words],
                cwd=self.folder,
                env={"LC_ALL": "C"},
                input=given,
                capture_output=True,
                timeout=max(self.ends_s - monotonic(), 0.0),
                check=False,
                start_new_session=True,  # without a terminal it asks nobody for a password
            )
        except subprocess.TimeoutExpired:
            raise NotJudgedError(f"openssl did not answer within {TIMEOUT_S:.0f} s") from None
        except OSError as error:
            raise NotJudgedError(f"openssl cannot be run: {error.strerror}") from None
        return done.returncode, (done.stderr + b"\n" + done.stdout).decode("utf-8", "replace")


@contextlib.contextmanager
def open_openssl(ca_pem: bytes, crl_pem: bytes) -> Iterator[OpenSsl]:
    """Copy a broker's files to where OpenSSL is asked about them.

    Raises:
        NotJudgedError: there is no OpenSSL here, or no room for the copies.
    """
    program = shutil.which("openssl", path=PLACES)
    if program is None:
        raise NotJudgedError("install openssl")
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="iotonboard-", ignore_cleanup_errors=True))
            lists = _NO_LIST.sub(rb"\1OTHER\2", crl_pem)
            _write(folder, "ca.pem", ca_pem)
            _write(folder, "crl.pem", lists)
            _write(folder, "all.pem", ca_pem + b"\n" + lists)
        except OSError as error:
            raise NotJudgedError(f"the files cannot be copied for openssl: {error.strerror}") from None
        yield OpenSsl(program, folder, monotonic() + TIMEOUT_S)


def _write(folder: str, name: str, content: bytes) -> None:
    with open(os.path.join(folder, name), "wb") as file:
        file.write(content)


def _parse(output: str) -> dict[int, tuple[Finding, ...]]:
    """Find each certificate's errors: they stand before the line that ends it."""
    answers: dict[int, tuple[Finding, ...]] = {int(match[1]): () for match in _OK.finditer(output)}
    start = 0
    for end in _END.finditer(output):
        found = _ERROR.finditer(output, start, end.start())
        answers[int(end[1])] = tuple(Finding(int(one[1]), int(one[2]), one[3]) for one in found)
        start = end.end()
    return answers
