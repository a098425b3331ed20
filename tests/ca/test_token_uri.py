"""Names of keys in tokens (RFC 7512): what is read, what is refused, and why."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iotonboard.ca.token_uri import TokenUri, parse_token_uri
from iotonboard.errors import UsageError

MODULE = "?module-path=/usr/lib/lib.so"


def test_a_whole_name() -> None:
    uri = parse_token_uri(f"pkcs11:token=Station%207;serial=ab12;id=%01%FF;type=private;object=ca{MODULE}")
    assert uri == TokenUri("/usr/lib/lib.so", token="Station 7", serial="ab12", object="ca", identifier=b"\x01\xff")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ca.key", "does not begin with 'pkcs11:'"),
        (f"pkcs11:object=ca{MODULE}", "names no token"),
        (f"pkcs11:token=t{MODULE}", "names no key"),
        ("pkcs11:token=t;object=ca", "no module"),
        ("pkcs11:token=t;object=ca?module-path=lib.so", "no module"),
        ("pkcs11:token=t;object=ca?module-name=softhsm2", "leaves open which file"),
        (f"pkcs11:token=t;object=ca{MODULE}&pin-value=1234", "'pin-value' is refused"),
        (f"pkcs11:token=t;object=ca{MODULE}&pin-source=file:/pin", "'pin-source' is refused"),
        (f"pkcs11:token=t;object=ca;pin-value=1234{MODULE}", "'pin-value' is refused"),
        (f"pkcs11:slot-id=3;object=ca{MODULE}", "changes without the key"),
        (f"pkcs11:token=t;object=ca;type=cert{MODULE}", "not 'private'"),
        (f"pkcs11:token=t;token=u;object=ca{MODULE}", "there twice"),
        (f"pkcs11:token=t;object={MODULE}", "has no value"),
        (f"pkcs11:token=t;object{MODULE}", "has no value"),
        (f"pkcs11:token=a b;object=ca{MODULE}", "not escaped"),
        (f"pkcs11:token=a%2;object=ca{MODULE}", "not escaped"),
        (f"pkcs11:token=a%FF;object=ca{MODULE}", "no UTF-8"),
        (f"pkcs11:token=a%0A;object=ca{MODULE}", "control characters"),
        (f"pkcs11:token=t;colour=red;object=ca{MODULE}", "is not known"),
        (f"pkcs11:token={'t' * 3000};object=ca{MODULE}", "longer than"),
    ],
)
def test_what_names_no_key(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as raised:
        parse_token_uri(text)
    assert "1234" not in raised.value.message + raised.value.hint


_texts = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=20)


@given(_texts, _texts, st.binary(min_size=1, max_size=8), _texts)
def test_what_is_written_is_read_again(token: str, name: str, identifier: bytes, folder: str) -> None:
    uri = TokenUri(f"/{folder}", token=token, object=name, identifier=identifier)
    assert parse_token_uri(str(uri)) == uri
