"""What a CA's key is to the rest of the program: it signs, and opens the vault; a token could do the same."""

from __future__ import annotations

import pytest
from iotonboard.ca.ca_key import SoftwareKey, generate_ca_key, load_ca_key
from iotonboard.ca.passphrase import Passphrase, parse_passphrase_file
from iotonboard.errors import KeyUnavailableError, NotPrivateWarning
from iotonboard.model import KeyType
from iotonboard.pki.keys import HUMAN_ITERATIONS, RANDOM_ITERATIONS, kdf_iterations
from iotonboard.pki.pem import pem_decode_all

from support.pki import key, vector_key

VAULT_KEY = bytes(range(32))
TYPED, RANDOM = Passphrase(b"correct horse"), Passphrase(b"5a" * 32, is_random_key=True)
# Of the first version, whose states open for ever.
WRAPPED = {
    "ec-p256": "33e174cf7399aff60819b347420c5db8cc61a214d43504aacb83c6af98ce2f889013783d6ef0d713",
    "ec-p384": "9b6f117b5bf5cc14f9a002f4b97799ad8cf838e419df0c3a582225ea9d84b655d43138d4d1c929c0",
    "ed25519": "40963659f21fbcae387e4969db02b252f5a8010f12843129b4d41fac599db2033317f37229ef01f1",
    "rsa-2048": "e558262aa2030594c939e64757fbf65937c37f1c5515753dfec294855ed12eabf5aad0c456e83903",
}


@pytest.mark.parametrize("key_type", WRAPPED)
def test_a_vault_of_the_first_version_opens(key_type: str) -> None:
    mine = SoftwareKey(vector_key(key_type))
    assert mine.unwrap(bytes.fromhex(WRAPPED[key_type])) == VAULT_KEY
    assert mine.wrap(VAULT_KEY).hex() == WRAPPED[key_type]


@pytest.mark.parametrize("key_type", [KeyType.EC_P256, KeyType.EC_P384, KeyType.RSA_2048, KeyType.ED25519])
def test_only_the_key_that_wrapped_it_opens_the_vault(key_type: KeyType) -> None:
    mine, other = SoftwareKey(key(key_type)), SoftwareKey(key(key_type, "other"))
    wrapped = mine.wrap(VAULT_KEY)
    assert VAULT_KEY not in wrapped
    assert mine.unwrap(wrapped) == VAULT_KEY
    for opener, octets in ((other, wrapped), (mine, wrapped[:-1] + bytes((wrapped[-1] ^ 1,)))):
        with pytest.raises(KeyUnavailableError, match="does not open this state's vault"):
            opener.unwrap(octets)


@pytest.mark.parametrize(
    ("passphrase", "label", "iterations"),
    [
        (None, "PRIVATE KEY", None),
        (TYPED, "ENCRYPTED PRIVATE KEY", HUMAN_ITERATIONS),
        (RANDOM, "ENCRYPTED PRIVATE KEY", RANDOM_ITERATIONS),
    ],
)
def test_the_file_of_a_key_asks_for_the_passphrase_it_was_written_with(
    passphrase: Passphrase | None, label: str, iterations: int | None
) -> None:
    made = generate_ca_key(KeyType.EC_P256)
    content = made.dump(passphrase)
    (octets,) = pem_decode_all(label, content)
    assert kdf_iterations(octets) == iterations
    opened = load_ca_key(content, passphrase)
    assert opened.unwrap(made.wrap(VAULT_KEY)) == VAULT_KEY
    assert opened.signer.public_key() == made.signer.public_key()
    if passphrase is not None:
        for wrong in (None, Passphrase(b"wrong")):
            with pytest.raises(KeyUnavailableError):
                load_ca_key(content, wrong)


def test_nothing_secret_is_shown() -> None:
    assert "PrivateKey" not in repr(SoftwareKey(key(KeyType.EC_P256)))
    assert "correct" not in repr(TYPED)


@pytest.mark.parametrize(
    "content", ["grüße aus dem werk".encode("utf-16"), b"\xef\xbb\xbftyped words\n", bytes(range(40))]
)
def test_a_key_that_an_earlier_version_encrypted_with_a_file_still_opens(content: bytes) -> None:
    """That version took a text in UTF-16 for random, and a byte order mark for a part of the passphrase."""
    passphrase = parse_passphrase_file(content)
    key = generate_ca_key(KeyType.EC_P256)
    before = key.dump(Passphrase(passphrase.spellings[-1], is_random_key=True))
    with pytest.warns(NotPrivateWarning, match=r"guessed quickly \(100 rounds\)"):
        assert load_ca_key(before, passphrase).signer.public_key() == key.signer.public_key()
    assert load_ca_key(key.dump(passphrase), passphrase).signer.public_key() == key.signer.public_key()
    with pytest.raises(KeyUnavailableError):
        load_ca_key(before, Passphrase(b"another"))
