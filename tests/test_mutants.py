"""The list of equivalent mutants stays true to the code, and a mutant never reaches a file."""

import tomllib
from pathlib import Path

from tests.mutants import EQUIVALENT, ROOT, SERVER_VARIABLE, Equivalents, groups_of, mutants_of

MONEY = Path("app/domain/money.py")


def test_every_mutant_that_no_test_can_notice_names_a_line_of_the_code_and_says_why() -> None:
    for entry in tomllib.loads(EQUIVALENT.read_text())["mutant"]:
        lines = [line.strip() for line in (ROOT / entry["file"]).read_text().splitlines()]
        assert entry["line"] in lines, entry
        assert entry["line"] not in entry.get("becomes", [])
        assert entry["why"]


def test_mutants_differ_from_the_code_and_from_each_other_and_stay_in_memory() -> None:
    before = (ROOT / MONEY).read_text()
    mutants = list(mutants_of(MONEY))
    assert len({before, *(mutant.code for mutant in mutants)}) == len(mutants) + 1
    assert any(mutant.added == ("DECIMALS_MAX = 9",) for mutant in mutants)
    assert sum(Equivalents().holds(mutant) for mutant in mutants) >= 1
    assert (ROOT / MONEY).read_text() == before


def test_the_tests_of_a_module_run_first_and_those_of_its_room_next() -> None:
    first, others = groups_of(MONEY)
    assert first[0] == "tests/domain/test_money.py"
    assert "tests/domain/test_codes.py" in others
    assert groups_of(Path("app/orders/caps.py"))[-1][0].startswith("tests/intake/")


def test_the_shared_server_has_one_name() -> None:
    assert f'"{SERVER_VARIABLE}"' in (ROOT / "tests/conftest.py").read_text()
