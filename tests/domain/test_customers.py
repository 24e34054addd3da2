"""Goal: one customer has one key in a brand, and nobody can tell from it who it is or that it is the same one elsewhere."""

from uuid import UUID

from app.domain.customers import PURPOSE, customer_key

SECRET, BRAND, OTHER = b"s" * 32, UUID(int=1), UUID(int=2)


def test_an_email_is_one_customer_however_it_is_written() -> None:
    key = customer_key(SECRET, BRAND, None, "Lea@Example.com ")
    assert key == customer_key(SECRET, BRAND, None, "lea@example.com")
    # A guest and an account with the same e-mail are one person.
    assert key == customer_key(SECRET, BRAND, "207119551", "lea@example.com")
    assert key is not None
    assert len(key) == 32
    assert "lea" not in key


def test_without_an_email_the_id_serves() -> None:
    assert customer_key(SECRET, BRAND, "5", None) == customer_key(SECRET, BRAND, " 5 ", "")
    assert customer_key(SECRET, BRAND, "5", None) != customer_key(SECRET, BRAND, "6", None)


def test_nobody_has_no_key() -> None:
    assert customer_key(SECRET, BRAND, None, None) is None
    assert customer_key(SECRET, BRAND, " ", "") is None


def test_brands_and_secrets_do_not_share_keys() -> None:
    keys = {customer_key(secret, brand, None, "a@b.fr") for secret in (SECRET, b"t" * 32) for brand in (BRAND, OTHER)}
    assert len(keys) == 4


def test_the_key_of_a_customer_is_the_same_in_every_release() -> None:
    # Orders stored under another key would belong to another customer.
    assert PURPOSE == "customer"
    assert customer_key(SECRET, BRAND, None, "lea@example.com") == "80f77ceae76a18444a8d0517886adb5e"
    assert customer_key(SECRET, BRAND, "5", None) == "4ab525aee0c50678a3758a95ce03da6b"


def test_what_is_no_email_serves_as_an_id_where_there_is_none() -> None:
    assert customer_key(SECRET, BRAND, "", "lea") == customer_key(SECRET, BRAND, "lea", None)
    assert customer_key(SECRET, BRAND, "5", "lea") == customer_key(SECRET, BRAND, "5", None)


def test_any_text_a_shop_sends_has_a_key() -> None:
    assert customer_key(SECRET, BRAND, "\ud800", None) != customer_key(SECRET, BRAND, "\ud801", None)
