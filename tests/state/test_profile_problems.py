"""A profile of the settings' file that cannot be taken is named with its lines, whatever form it has."""

from __future__ import annotations

import pytest
from iotonboard.errors import PolicyError
from iotonboard.state.config import Recorded, read_text, with_checked_profiles

GOOD = '[profiles.good]\neku = ["clientAuth"]\n\n'


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('[profiles.bad]\nsan = ["dns:*.example"]\n', "file, line 5, of [profiles.bad] in line 4"),
        ("[profiles.bad]\n# a remark\nsubjekt = 1\n", "file, line 6, of [profiles.bad] in line 4"),
        ('[ profiles . "bad" ]\n"eku" = [\n  "anyExtendedKeyUsage",\n]\n', "file, line 5, of [profiles.bad] in line 4"),
        ('[profiles]\nbad = { eku = ["OCSPSigning"] }\n', "file, line 5"),
        ('[profiles]\nbad.ca = ""\nbad.eku = ["OCSPSigning"]\n', "file, line 6, of [profiles.bad] in line 5"),
        ('[[profiles.bad.extensions]]\noid = "1.x"\nutf8 = "x"\n', "file, line 4"),
        (
            '[profiles.bad]\neku = ["clientAuth"]\n[[profiles.bad.extensions]]\noid = "1.x"\nutf8 = "x"\n',
            "file, line 6, of [profiles.bad] in line 4",
        ),
        ("[profiles.bad.more]\nx = 1\n", "file, line 4"),
        ("[profiles.bad]\nsubjekt = 1\ncolour = 2\n", "file, line 4"),  # two keys, and neither alone
        ("[profiles.mqtt]\n", "file, line 4"),
        ("[profiles.Bad]\n", "file, line 4"),
    ],
)
def test_the_line_of_the_key_and_of_its_profile_are_told(text: str, place: str) -> None:
    good = GOOD if not text.startswith("[profiles]\n") else "# one\n\n\n"
    assert place_in(good + text) == place


def place_in(text: str) -> str:
    (problem,) = with_checked_profiles(read_text(text), Recorded()).problems
    found, _, _ = problem.message.removeprefix("profiles (").partition("): ")
    return found


def test_a_dotted_name_at_the_top_has_its_line_too() -> None:
    assert place_in('cert_validity_days = 90\nprofiles.bad = { key_usage = ["cRLSign"] }\n') == "file, line 2"


def test_what_is_sealed_is_not_read_again_and_a_bad_one_takes_no_other_setting_along() -> None:
    text = 'cert_validity_days = 90\n[profiles.bad]\neku = ["OCSPSigning"]\n'
    file = read_text(text)
    assert with_checked_profiles(file, Recorded({"profiles": file.values["profiles"]})) is file
    assert with_checked_profiles(file, Recorded({})).values == {"cert_validity_days": 90}


def test_profiles_that_are_no_tables_are_refused() -> None:
    (problem,) = read_text("profiles = 1\n").problems
    assert isinstance(problem, PolicyError)
    assert "is written as [profiles.NAME] tables" in problem.message
