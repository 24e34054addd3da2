"""The secret key: made once, kept private, never replaced in silence; and what is sealed with it."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.secret import UnsealError, derive, load_secret, seal, unseal
from app.settings import Settings, SettingsError, read_settings


def at(data: Path, **more: object) -> Settings:
    return read_settings({}, data=data, **more)


def test_a_key_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    key = load_secret(at(tmp_path / "new"))
    assert len(key) >= 32
    assert load_secret(at(tmp_path / "new")) == key
    assert stat.S_IMODE((tmp_path / "new/secret.key").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["secret.key"]


def test_a_given_key_wins_and_no_file_is_made(tmp_path: Path) -> None:
    assert load_secret(at(tmp_path, secret_key="k" * 32)) == "k" * 32
    assert not list(tmp_path.iterdir())


def test_several_that_make_it_at_once_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: load_secret(at(tmp_path)), range(8)))
    assert len(keys) == 1


def test_a_damaged_key_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "secret.key").write_text("short\n")
    with pytest.raises(SettingsError, match="holds no key of 32 characters"):
        load_secret(at(tmp_path))
    assert (tmp_path / "secret.key").read_text() == "short\n"


@pytest.mark.parametrize("text", ["", "whsec_é💡", "x" * 10_000])
def test_what_is_sealed_comes_back_and_reads_like_nothing(text: str) -> None:
    sealed = seal("k" * 32, text)
    assert sealed.isascii()
    assert sealed != seal("k" * 32, text)
    assert unseal("k" * 32, sealed) == text


@pytest.mark.parametrize("harm", ["other key", "altered", "cut", "no base64"])
def test_what_was_sealed_otherwise_is_refused(harm: str) -> None:
    sealed = seal("k" * 32, "whsec")
    key = "l" * 32 if harm == "other key" else "k" * 32
    bad = {"altered": sealed[:-6] + "AAAAAA", "cut": sealed[:8], "no base64": "é"}.get(harm, sealed)
    with pytest.raises(UnsealError):
        unseal(key, bad)


def test_each_purpose_has_a_key_of_its_own() -> None:
    assert len({derive("k" * 32, purpose) for purpose in ("seal", "cursor", "visitor")}) == 3
    assert derive("k" * 32, "seal") == derive("k" * 32, "seal")
    assert derive("k" * 32, "seal") != derive("l" * 32, "seal")
