"""Whatever stands in the settings file or the environment: documented errors only."""

from __future__ import annotations

import os
import random
from unittest.mock import patch

import pytest
from iotonboard.state.setting_table import SETTINGS

from support.in_process import call
from support.program import State

_ROUNDS = 3
_VALUES = (
    '""', '"x"', "0", "-1", "1", "99999999999999999999", "1.5", "nan", "inf", "true", "[]", '["a", 1]', "{}", "{a = 1}",
    "1979-05-27T07:32:00Z", "1979-05-27", '"\\u0000"', '"../../x"', '"~nobody-of-this-name/x"', '"\\u202e"', '"[1"',
    '"postgresql://user:secret@host/db"', '"command: true"', '"' + "x" * 5000 + '"', '"a\\nb"', "'''\n'''", "[[1]]",
    "=",
)  # fmt: skip
_WORDS = ("config show", "list", "register --uuid --no-bundle", "revoke nobody", "gen-crl", "sync-acl", "health")


@pytest.mark.parametrize("seed", range(_ROUNDS))
def test_any_value_of_any_setting(state: State, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    for key in SETTINGS:
        value = chance.choice(_VALUES)
        *tables, name = key.split(".")
        header = f"[{'.'.join(tables)}]\n" if tables else ""
        (state.path / "iotonboard.toml").write_text(f"{header}{name} = {value}\n")
        for words in chance.sample(_WORDS, 2):
            result = call(state, *words.split())
            assert result.exit_code != 1, f"{key} = {value}: {result}"
            assert key != "database_url" or "secret" not in result.stdout + result.stderr


@pytest.mark.parametrize("seed", range(_ROUNDS))
def test_any_value_of_any_variable(state: State, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    for key in SETTINGS:
        variable = chance.choice([f"IOTONBOARD_{key.upper().replace('.', '_')}", key.upper()])
        value = chance.choice(_VALUES).strip("'\"").replace("\\u0000", "")
        with patch.dict(os.environ, {variable: value}):
            for words in chance.sample(_WORDS, 2):
                result = call(state, *words.split())
                assert result.exit_code != 1, f"{variable} = {value}: {result}"
                assert key != "database_url" or "secret" not in result.stdout + result.stderr
