"""Goal: a shopper's data goes and everything else stays, to the last digit; blotting twice changes nothing, and nothing that anybody sends raises."""

import json
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.customers import customer_key, email_token, id_token
from app.domain.personal_data import MARK, Blotter, PersonalFields, load_fields
from app.domain.strict_json import read_json

BRAND = UUID(int=7)
KEY = partial(customer_key, b"secret", BRAND)
FIELDS = PersonalFields(
    objects=("address", "customer", "people.*.home"),
    texts=("phone", "address.latitude"),
    unread=("attributes.*.value",),
    emails=("email", "customer.email"),
    ids=("customer.id",),
)
BLOTTER = Blotter(FIELDS)
ANYWHERE = Blotter(PersonalFields(objects=("**.billing",), texts=("**.first_name",)))


def blot(body: str, *read: str, blotter: Blotter = BLOTTER) -> Any:
    return json.loads(blotter.blot_body(body.encode(), KEY, lambda: frozenset(read)), parse_float=Decimal)


def test_texts_of_an_object_go_and_its_numbers_stay() -> None:
    body = '{"address": {"city": "Lyon", "zip": "69001", "id": 7, "flat": {"name": "Lea", "floor": 1.50}, "none": null, "empty": ""}}'
    assert blot(body) == {
        "address": {
            "city": MARK, "zip": MARK, "id": 7, "flat": {"name": MARK, "floor": Decimal("1.50")}, "none": None, "empty": ""
        }
    }  # fmt: skip


def test_a_field_goes_also_where_it_is_a_number() -> None:
    assert blot('{"phone": 4917012345, "address": {"latitude": 45.764}}') == {
        "phone": MARK,
        "address": {"latitude": MARK},
    }


def test_in_place_of_an_id_and_an_email_stands_the_key_of_each() -> None:
    found = blot(
        '{"email": " Lea@Shop.example ", "customer": {"id": 207119551, "email": "lea@shop.example", "name": "Lea"}}'
    )
    token = email_token(KEY(None, "lea@shop.example") or "")
    assert found == {
        "email": token, "customer": {"id": id_token(KEY("207119551", None) or ""), "email": token, "name": MARK}
    }  # fmt: skip


@pytest.mark.parametrize("given", ["", "0"])
def test_nobody_stays_nobody(given: str) -> None:
    assert blot(json.dumps({"customer": {"id": given}})) == {"customer": {"id": given}}


def test_an_email_that_no_parser_would_take_leaves_nothing_behind() -> None:
    assert blot(json.dumps({"email": "x" * 300})) == {"email": None}


def test_key_order_and_numbers_are_as_they_were_written() -> None:
    body = b'{"z":1.10,"a":0.30000000000000000004,"m":123456789012345678901234567890,"phone":"1"}'
    assert BLOTTER.blot_body(body, KEY) == body.replace(b'"1"', b'"(blotted)"')


@pytest.mark.parametrize(
    "text",
    [
        "lea.o'neil+x@mail.shop.example", "lea%40shop.example", "https://shop/?a=1&mail=lea%40shop.example", "name%3Dlea%40shop.example", "203.0.113.7",
        "2001:db8::7", "2001:db8:1:2:3:4:5:6", "fe80::1%eth0", "::ffff:203.0.113.7", "lea@b\u00fccher.example", "x" * 300 + "@shop.example",
    ],
)  # fmt: skip
def test_emails_and_ip_addresses_are_found_in_any_text(text: str) -> None:
    [found] = blot(json.dumps([f"see {text}, today"]))
    assert MARK in found
    assert not any(part in found for part in ("lea", "203.0", "2001:", "fe80", "xxx"))


@pytest.mark.parametrize(
    "text", ["2026-11-21T18:00:00-05:00", "12:30:45", "1.2.3", "999.1.1.1", "a::b::c", "@shop", "lea@localhost", "#1001", "49.90", "C:\\x"]
)  # fmt: skip
def test_what_only_looks_like_an_address_stays(text: str) -> None:
    assert blot(json.dumps([text])) == [text]


def test_what_was_read_is_never_touched() -> None:
    attributes = [
        {"value": "clk_01k"},
        {"value": "https://s/?ariane=clk_01k"},
        {"value": "A, B"},
        {"value": "yes"},
        {"value": "for Lea"},
    ]
    found = blot(
        json.dumps({"attributes": attributes, "code": "lea@shop.example"}), "clk_01k", "A", "B", "lea@shop.example"
    )
    assert [each["value"] for each in found["attributes"]] == [
        "clk_01k",
        "https://s/?ariane=clk_01k",
        "A, B",
        "yes",
        MARK,
    ]
    assert found["code"] == "lea@shop.example"


def test_a_field_that_is_known_by_its_name_goes_wherever_it_stands_unless_it_was_read() -> None:
    body = '{"a": [{"firstName": "Lea", "billing": {"x": "Lyon", "total": "4.90"}}], "First-Name": "LEA10"}'
    assert blot(body, "LEA10", blotter=ANYWHERE) == {
        "a": [{"firstName": MARK, "billing": {"x": MARK, "total": "4.90"}}], "First-Name": "LEA10"
    }  # fmt: skip


def test_pairs_keep_every_byte_that_is_not_personal() -> None:
    blotter = Blotter(PersonalFields(texts=("phone",), customers=("customer",)), folded=True)
    found = blotter.blot_pairs("a=%41&Phone=1+2&&b&customer=lea%40s.example&x=y%20z", KEY)
    token = email_token(KEY(None, "lea@s.example") or "").replace("@", "%40")
    assert found == f"a=%41&Phone=%28blotted%29&&b&customer={token}&x=y%20z"


def test_an_unknown_action_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown field"):
        load_fields({"object": ["a"]})


NAMES = ("email", "customer", "id", "phone", "address", "x", "value", "attributes")
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(NAMES) | st.text(), inner),
    max_leaves=20,
)  # fmt: skip


@given(json_values, st.sampled_from([BLOTTER, ANYWHERE]))
def test_blotting_twice_changes_nothing_and_what_is_kept_is_json(value: object, blotter: Blotter) -> None:
    once = blotter.blot_body(json.dumps(value).encode(), KEY)
    if json.dumps(value).strip():
        read_json(once)
    assert blotter.blot_body(once, KEY) == once


@given(st.binary(max_size=300), st.booleans())
def test_nothing_that_anybody_sends_raises(body: bytes, is_form: bool) -> None:
    BLOTTER.blot_body(body, KEY, is_form=is_form)


@given(st.text(max_size=60), st.text(max_size=60))
def test_a_token_is_the_key_that_it_stands_for(customer_id: str, email: str) -> None:
    key = KEY(None, f"{email}@x") or ""
    assert KEY(customer_id, email_token(key)) == key
    named = KEY(customer_id, None)
    if named is not None:
        assert KEY(id_token(named), None) == named
        assert KEY(id_token(named), email_token(key)) == key
