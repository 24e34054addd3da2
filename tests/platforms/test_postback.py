"""Postbacks as each network documents them, and what is refused, by name."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.folding import Adjustment, Witness, fold
from app.domain.orders import TRUST_SERVER, Context, OrderReport, Parsed, RefundReport, version_at
from app.platforms.postback.presets import PRESETS
from app.platforms.postback.webhook import UNVERSIONED, parse

NOW = datetime(2026, 11, 22, 9, 30, 12, tzinfo=UTC)
CLICK = "clk_01k0000000000000000000000a"


def context(preset: str = "", received_at: datetime = NOW) -> Context:
    return Context(
        received_at=received_at,
        currency="EUR",
        customer_key=lambda number, email: f"{number}/{email}" if number or email else None,
        shop="fr",
        settings={"preset": preset} if preset else {},
    )


def get(query: str, preset: str = "", received_at: datetime = NOW) -> Parsed:
    return parse(b"", {":query": query}, context(preset, received_at))


def post(body: str | bytes, content_type: str = "", query: str = "") -> Parsed:
    raw = body.encode() if isinstance(body, str) else body
    headers = {":query": query, "content-type": content_type}
    return parse(raw, {name: value for name, value in headers.items() if value}, context())


def order(query: str, preset: str = "", received_at: datetime = NOW) -> OrderReport:
    parsed = get(query, preset, received_at)
    assert parsed.rejected is None, parsed
    [report] = parsed.reports
    return report


# ── Our own names ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_order_by_get() -> None:
    report = order(
        f"click_id={CLICK}&order_id=%231001&amount=49.90&currency=USD&code=LEA10&visitor_id=v1&customer=a%40b.fr&sub1=x"
    )
    assert (report.shop, report.kind, report.order_id, report.refs) == ("fr", "sale", "#1001", ("1001",))
    assert (report.net_minor, report.currency, report.estimated, report.paid) == (4_990, "USD", False, None)
    assert (report.click_ids, report.codes, report.visitor_id) == ((CLICK,), ("LEA10",), "v1")
    assert (report.customer.key, report.occurred_at, report.test, report.refunds) == ("None/a@b.fr", None, False, ())


FIELDS = {"order_id": "A é 漢", "amount": "49.90", "currency": "USD", "code": "LÉA10", "test": "1"}


@pytest.mark.parametrize(
    ("body", "content_type", "query"),
    [
        (b"", "", urlencode(FIELDS)),
        (b"", "", urlencode(FIELDS, safe="é漢", encoding="utf-8").encode().decode("latin-1")),
        (urlencode(FIELDS), "application/x-www-form-urlencoded", ""),
        (urlencode(FIELDS), "", ""),
        (json.dumps(FIELDS), "application/json", ""),
        (json.dumps({**FIELDS, "amount": 49.90, "test": True}), "", ""),
        (json.dumps({**FIELDS, "Order_ID": FIELDS["order_id"], "code": ["LÉA10"]} | {"unknown": {"a": [1]}}), "", ""),
        ("amount=49.90&currency=USD", "application/x-www-form-urlencoded", urlencode(FIELDS)),
        ("ORDER_ID=A+%C3%A9+%E6%BC%A2&Code=L%C3%89A10", "", "amount=49,90&CURRENCY=usd&test=yes"),
    ],
)
def test_query_form_and_json_say_the_same_alone_and_together(body: str | bytes, content_type: str, query: str) -> None:
    parsed = post(body, content_type, query)
    assert parsed.rejected is None, parsed
    [report] = parsed.reports
    assert (report.order_id, report.net_minor, report.currency) == ("A é 漢", 4_990, "USD")
    assert (report.codes, report.test) == (("LÉA10",), True)


@pytest.mark.parametrize(
    ("amounts", "net_minor", "estimated"),
    [
        ("amount=49.90", 4_990, False),
        ("amount=12,34", 1_234, False),
        ("amount=90&tax=18&shipping=5.90", 9_000, False),
        ("total=113.90&tax=18.00&shipping=5.90", 9_000, False),
        ("total=113.90&tax=18.00", 9_590, True),
        ("total=113.90", 11_390, True),
        ("amount=90.00&total=113.90", 9_000, False),
        ("amount=500&currency=JPY", 500, False),
        ("amount=5.120&currency=KWD", 5_120, False),
        ("amount=0", 0, False),
        ("amount=", None, False),
        ("", None, False),
    ],
)
def test_the_amount_is_before_tax_and_shipping_and_a_total_says_that_it_is_not(
    amounts: str, net_minor: int | None, estimated: bool
) -> None:
    report = order(f"order_id=1&{amounts}")
    assert (report.net_minor, report.estimated) == (net_minor, estimated)


def test_several_codes_come_by_comma() -> None:
    assert order("order_id=1&code=LEA10,+MAX5,LEA10,").codes == ("LEA10", "MAX5")


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ("", "sale"),
        ("Lead", "lead"),
        ("purchase", "sale"),
        ("0", "sale"),
        ("7", "event_7"),
        ("first_deposit", "first_deposit"),
    ],
)
def test_the_event_is_the_kind_and_numbers_are_kept_apart(event: str, kind: str) -> None:
    assert order(f"order_id=1&event={event}").kind == kind


@pytest.mark.parametrize(
    ("said", "moment"),
    [
        ("2026-11-21T18:00:00Z", datetime(2026, 11, 21, 18, tzinfo=UTC)),
        ("2026-11-21T18:00:00%2B01:00", datetime(2026, 11, 21, 17, tzinfo=UTC)),
        ("2026-11-21T18:00:00+01:00", datetime(2026, 11, 21, 17, tzinfo=UTC)),  # the + of a query is a space
        ("1795284000", datetime(2026, 11, 21, 18, tzinfo=UTC)),
        ("1795284000500", datetime(2026, 11, 21, 18, 0, 0, 500_000, tzinfo=UTC)),
    ],
)
def test_times_are_rfc_3339_or_unix(said: str, moment: datetime) -> None:
    assert order(f"order_id=1&occurred_at={said}").occurred_at == moment


def test_a_refund_has_an_id_of_its_own() -> None:
    report = order("order_id=1&refund_id=r1&amount=10.00&currency=USD&occurred_at=2026-11-22T09:00:00Z")
    [refund] = report.refunds
    assert (report.stub, report.refs, report.net_minor) == (True, ("1",), None)
    assert (refund.kind, refund.refund_id, refund.amount_minor, refund.currency) == ("refund", "r1", 1_000, "USD")
    assert refund.occurred_at == datetime(2026, 11, 22, 9, tzinfo=UTC)


@pytest.mark.parametrize("preset", ["", "kwanko"])
def test_a_postback_says_whether_an_order_is_a_renewal(preset: str) -> None:
    assert order("order_id=1&argann=1&origin=renewal", preset).origin == "renewal"
    assert order("order_id=1&argann=1&origin=FIRST", preset).origin == "first"
    assert order("order_id=1&argann=1&origin=unknown", preset).origin is None
    # Whatever a network of another mind puts there costs no order.
    parsed = get("order_id=1&argann=1&origin=https%3A%2F%2Fshop.example", preset, NOW)
    assert parsed.reports[0].origin is None
    assert "origin must be one of first, renewal, unknown" in parsed.notes


# ── Kwanko, Awin, Everflow, TUNE, Voluum ─────────────────────────────────────────────────────────────────────────────


def test_kwanko_sends_the_click_back_as_cible() -> None:
    report = order(
        f"mclic=P4F47357018F191&cible={CLICK}&argann=1001&argmon=49.90&nacur=USD&argmodp=card&altid=a%40b.fr&cart=x",
        "kwanko",
    )
    assert (report.click_ids, report.order_id, report.net_minor, report.currency) == ((CLICK,), "1001", 4_990, "USD")
    assert report.customer.key == "None/a@b.fr"
    assert order(f"kwks2s={CLICK}&argann=1&montant=5", "kwanko").net_minor == 500


AWIN = (
    "tt=ss&tv=2&merchant=1001&amount=49.90&ch=aw&parts=DEFAULT:39.90|SALE:10.00&vc=LEA10&cr=GBP&ref=A-1&testmode=0&cks="
)


def test_awin_splits_the_subtotal_by_commission_group() -> None:
    report = order(AWIN + CLICK + "&customeracquisition=NEW&bd[0]=AW:P|1001|A-1|sku|Name|49.90|1|sku|DEFAULT|c", "awin")
    assert (report.order_id, report.net_minor, report.currency, report.codes) == ("A-1", 4_990, "GBP", ("LEA10",))
    assert (report.click_ids, report.test, report.customer.is_new) == ((CLICK,), False, True)
    assert [(line.id, line.net_minor) for line in report.lines] == [("DEFAULT", 3_990), ("SALE", 1_000)]
    assert order(AWIN.replace("testmode=0", "testmode=1"), "awin").test
    assert order(AWIN + "&customeracquisition=RETURNING", "awin").customer.is_new is False


def test_awin_without_an_amount_is_the_sum_of_its_parts() -> None:
    assert order("ref=1&parts=A:1.50|B:2.00|A:1.00", "awin").net_minor == 450
    assert [line.net_minor for line in order("ref=1&parts=A:1.50|B:2.00|A:1.00", "awin").lines] == [250, 200]
    assert get("ref=1&amount=9&parts=A:1.50", "awin").notes == ("the parts do not add up to the amount",)
    assert get("ref=1&parts=A:1.50|B", "awin").rejected == "invalid_parts"
    assert get("ref=1&parts=:1.50", "awin").rejected == "invalid_parts"
    assert get("ref=1&parts=A:x", "awin").rejected == "invalid_amount"
    assert get("ref=1&parts=" + "|".join(f"G{n}:1" for n in range(200)), "awin").rejected == "invalid_parts"


def test_everflows_transaction_is_the_click() -> None:
    report = order(
        f"nid=12&transaction_id={CLICK}&amount=12,34&event_id=0&order_id=1001&coupon_code=LEA10&adv1=x&email=a%40b.fr",
        "everflow",
    )
    assert (report.click_ids, report.order_id, report.refs) == ((CLICK,), "1001", ("1001",))
    assert (report.kind, report.net_minor, report.codes) == ("sale", 1_234, ("LEA10",))
    assert order(f"transaction_id={CLICK}&adv_event_id=7", "everflow").kind == "event_7"


def test_tunes_transaction_is_the_click_and_adv_sub_the_order() -> None:
    report = order(
        f"offer_id=26&transaction_id={CLICK}&amount=5&adv_sub=1001&promo_code=LEA10&goal_id=3&status=approved", "tune"
    )
    assert (report.click_ids, report.order_id, report.kind, report.paid) == ((CLICK,), "1001", "event_3", True)
    assert order("transaction_id=x&conversion_unique_id=u1", "tune").order_id == "u1"


def test_voluum_counts_by_click_and_transaction() -> None:
    report = order(f"cid={CLICK}&payout=5.00&txid=1001&currency=USD&et=lead", "voluum")
    assert (report.click_ids, report.order_id, report.net_minor, report.kind) == ((CLICK,), "1001", 500, "lead")


def test_one_name_is_a_click_in_one_preset_and_nothing_in_another() -> None:
    assert order("transaction_id=T1&order_id=1", "everflow").click_ids == ("T1",)
    assert order("transaction_id=T1&order_id=1").click_ids == ()
    assert get("transaction_id=T1", "awin").rejected == "no_order_id"


# ── Without an order id ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("preset", "click"), [("everflow", "transaction_id"), ("tune", "transaction_id"), ("voluum", "cid")]
)
def test_where_the_network_counts_by_click_so_do_we(preset: str, click: str) -> None:
    parsed = get(f"{click}={CLICK}&currency=EUR", preset)
    [report] = parsed.reports
    assert (report.order_id, report.refs, parsed.notes) == (None, (f"weak:{CLICK}:sale",), ("weak_order_id",))
    assert order(f"{click}={CLICK}", preset, NOW + timedelta(days=9)).refs == report.refs
    assert order(f"{click}=another", preset).refs != report.refs
    assert get("currency=EUR", preset).rejected == "no_order_id"


@pytest.mark.parametrize("preset", ["ariane", "kwanko", "awin"])
def test_elsewhere_an_order_without_an_id_is_refused_with_the_name_it_has_there(preset: str) -> None:
    table = PRESETS[preset]
    parsed = get(f"{table.names['click_id'][0]}={CLICK}&{table.names['amount'][0]}=5", preset)
    assert parsed.rejected == "no_order_id"
    assert table.names["order_id"][0] in (parsed.detail or "")


# ── Macros nobody filled in ──────────────────────────────────────────────────────────────────────────────────────────

MACROS = [
    "{order_id}", "{}", "${order}", "{{ order.id }}", "[ORDER_ID]", "[[order]]", "%%ORDER%%", "%%DATE%%", "%order%", "<order>", "#orderId#",
    "__ORDER__", "order-{order_id}", "undefined", "null", "NULL", "%7Border_id%7D", "{transaction_id}",
]  # fmt: skip


@pytest.mark.parametrize("macro", MACROS)
def test_an_order_id_that_nobody_filled_in_would_make_one_order_of_all(macro: str) -> None:
    parsed = get(f"order_id={macro}&click_id={CLICK}&amount=5")
    assert (parsed.rejected, parsed.reports) == ("unresolved_macro", ())
    assert "order_id is '" in (parsed.detail or "")
    assert get(f"transaction_id={CLICK}&order_id={macro}", "everflow").rejected == "unresolved_macro"
    assert get(f"order_id=1&refund_id={macro}&amount=5").rejected == "unresolved_macro"


@pytest.mark.parametrize("macro", MACROS)
@pytest.mark.parametrize("field", ["click_id", "visitor_id", "code", "customer"])
def test_a_macro_for_a_click_or_a_code_is_no_id_of_it(field: str, macro: str) -> None:
    parsed = get(f"order_id=1&amount=5&{PRESETS['ariane'].names[field][0]}={macro}")
    assert (parsed.rejected, parsed.reports) == ("unresolved_macro", ())
    assert f"{PRESETS['ariane'].names[field][0]} is '" in (parsed.detail or "")


@pytest.mark.parametrize("macro", MACROS)
def test_elsewhere_an_unfilled_macro_is_nothing_said_and_noted(macro: str) -> None:
    parsed = get(f"order_id=1&currency={macro}&amount=5&status={macro}&sub1={macro}")
    [report] = parsed.reports
    assert (report.currency, report.paid) == ("EUR", None)
    assert [note.split()[0] for note in parsed.notes] == ["currency", "status"]


@pytest.mark.parametrize("order_id", ["#1001", "1001", "A{1}", "100%", "a_b", "[1001]", "<3", "Null-7", "%20x"])
def test_an_odd_order_id_is_no_macro(order_id: str) -> None:
    assert order(urlencode({"order_id": order_id})).order_id == order_id


# ── What becomes of an order ─────────────────────────────────────────────────────────────────────────────────────────


def folded(*messages: tuple[str, int]) -> Any:
    """The order that these messages make; each with the minute in which it was received."""
    witnesses, adjustments = [], []
    for index, (query, minute) in enumerate(messages):
        received_at = NOW + timedelta(minutes=minute)
        report = order(query, received_at=received_at)
        if not report.stub:
            witnesses.append(Witness(report, TRUST_SERVER, bytes([index]), received_at))
        adjustments += [Adjustment(each, TRUST_SERVER, bytes([index]), received_at) for each in report.refunds]
    return fold(witnesses, adjustments)


PENDING, APPROVED, REJECTED = (f"order_id=1&amount=50&status={word}" for word in ("pending", "approved", "rejected"))


def test_a_status_moves_with_the_messages_in_whatever_order_they_are_read() -> None:
    for moves in ([(PENDING, 1), (APPROVED, 2)], [(APPROVED, 2), (PENDING, 1)]):
        assert (folded(*moves).status, folded(*moves).flags) == ("approved", ())
    assert folded((PENDING, 1)).status == "pending"
    assert folded(("order_id=1&amount=50", 1)).status == "pending"


def test_a_rejected_order_is_taken_back_and_approved_again_it_counts_again() -> None:
    assert folded((PENDING, 1), (REJECTED, 2)).refunded_minor == 5_000
    for last in (3, 4):
        again = folded((REJECTED, 2), (APPROVED, last), (PENDING, 1))
        assert (again.refunded_minor, again.status) == (0, "approved")
    assert folded((APPROVED, 1), (REJECTED, 2)).refunded_minor == 5_000
    assert folded((PENDING, 1), ("order_id=1&status=declined", 2)).refunded_minor == 5_000


def test_a_bare_rejection_says_nothing_of_an_order_we_do_not_know() -> None:
    report = order("order_id=1&status=rejected")
    assert report.stub
    assert folded(("order_id=1&status=rejected", 1)).status == "stub"


def test_of_two_amounts_the_later_message_is_believed() -> None:
    assert folded(("order_id=1&amount=50", 1), ("order_id=1&amount=45", 2)).net_minor == 4_500
    assert folded(("order_id=1&amount=45", 2), ("order_id=1&amount=50", 1)).net_minor == 5_000 - 500


def test_an_echo_never_overrides_a_call_of_the_brands_own_server() -> None:
    """Equal trust: a report without a version counts from 0, a postback from far below; one that states a version is compared by it."""
    assert order("order_id=1").version == UNVERSIONED + version_at(NOW) < 0
    stated = order("order_id=1&updated_at=2026-11-22T09:00:00Z").version
    assert stated == version_at(datetime(2026, 11, 22, 9, tzinfo=UTC)) > 0


@pytest.mark.parametrize(
    ("word", "paid", "refunds"),
    [
        ("approved", True, (("cancelled", 0, False),)),
        ("Confirmed", True, (("cancelled", 0, False),)),
        ("pending", False, ()),
        ("on_hold", False, ()),
        ("rejected", None, (("cancelled", None, True),)),
        ("canceled", None, (("cancelled", None, True),)),
    ],
)
def test_the_words_of_a_status(word: str, paid: bool | None, refunds: tuple[object, ...]) -> None:
    report = order(f"order_id=1&amount=5&status={word}")
    found: tuple[RefundReport, ...] = report.refunds
    assert report.paid is paid
    assert tuple((each.refund_id, each.amount_minor, each.full) for each in found) == refunds
    assert all(each.kind == "cancellation" for each in found)


# ── What cannot be used ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("query", "reason", "named"),
    [
        ("", "no_order_id", "order_id"),
        ("hello", "no_order_id", "order_id"),
        ("order_id=1&order_id=2", "duplicate_keys", "order_id"),
        ("order_id=1&amount=5&Amount=6", "duplicate_keys", "amount"),
        ("order_id=1&amp;amount=5", "escaped_ampersand", "&amp;"),
        ("order_id=%00", "invalid_text", "order_id"),
        ("order_id=%ff", "invalid_text", "order_id"),
        ("order_id=\xe9", "invalid_text", "order_id"),
        ("order_id=" + "9" * 201, "invalid_text", "order_id"),
        ("order_id=1&click_id=%01", "invalid_text", "click_id"),
        ("order_id=1&code=%01", "invalid_text", "code"),
        ("order_id=1&amount=1,234", "invalid_amount", "amount"),
        ("order_id=1&amount=1,23,4.50", "invalid_amount", "amount"),
        ("order_id=1&amount=-5", "invalid_amount", "negative"),
        ("order_id=1&amount=NaN", "invalid_amount", "amount"),
        ("order_id=1&amount=5&tax=x", "invalid_amount", "tax"),
        ("order_id=1&total=5&tax=6", "invalid_amount", "total"),
        ("order_id=1&currency=ZZZ", "unknown_currency", "currency"),
        ("order_id=1&status=maybe", "unknown_status", "approved"),
        ("order_id=1&event=Big+Sale", "invalid_event", "event"),
        ("order_id=1&test=maybe", "invalid_flag", "test"),
        ("order_id=1&occurred_at=2026-11-22T09:30:00", "invalid_time", "occurred_at"),
        ("order_id=1&occurred_at=0000000000", "invalid_time", "occurred_at"),
        ("order_id=1&refund_id=r1", "missing_amount", "status=rejected"),
        ("&".join(f"f{n}=1" for n in range(300)), "too_many_fields", "200"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_rejected_by_name(query: str, reason: str, named: str) -> None:
    parsed = get(query)
    assert (parsed.rejected, parsed.reports) == (reason, ())
    assert named in (parsed.detail or "")


@pytest.mark.parametrize(
    ("body", "content_type", "reason"),
    [
        ("[1]", "", "not_a_postback"),
        ("{", "", "not_json"),
        ('{"order_id": "1", "order_id": "2"}', "", "duplicate_keys"),
        ('{"order_id": {"a": 1}}', "", "invalid_text"),
        ('{"order_id": "\\ud800"}', "", "invalid_text"),
        ('{"order_id": "1", "amount": 1e999999}', "", "invalid_amount"),
        ('{"order_id": "1", "amount": true}', "", "invalid_amount"),
        ('{"order_id": "1", "code": [{"a": 1}]}', "", "invalid_text"),
        ("<order/>", "text/xml", "unknown_encoding"),
        ("--x\r\n", "multipart/form-data; boundary=x", "unknown_encoding"),
    ],
)  # fmt: skip
def test_a_body_that_cannot_be_used_is_rejected_by_name(body: str, content_type: str, reason: str) -> None:
    assert post(body, content_type).rejected == reason


def test_query_and_body_may_not_contradict_each_other_but_may_repeat() -> None:
    assert post("order_id=1", "", "order_id=2").rejected == "duplicate_keys"
    assert post('{"order_id": "2"}', "", "order_id=1").rejected == "duplicate_keys"
    assert post("order_id=1&amount=5", "", "order_id=1").reports[0].net_minor == 500
    assert order("order_id=1&order_id=1&sub1=a&sub1=b").order_id == "1"


def test_a_preset_of_a_later_release_is_refused_and_can_be_replayed_by_it() -> None:
    assert get("order_id=1", "tomorrow").rejected == "unknown_preset"


NAMES = st.sampled_from(
    sorted(
        {name for table in PRESETS.values() for names in table.names.values() for name in names}
        | {"token", "amp;x", ""}
    )
)
TEXTS = st.text(st.characters(exclude_categories=()), max_size=12) | st.sampled_from(
    ["1.00", "EUR", "approved", "rejected", "{x}", "%%A%%", "A:1|B:2", "9" * 300, "1e9", "0", "2026-11-21T18:00:00 01:00", "9999999999999"]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
QUERIES = st.text(st.characters(max_codepoint=255), max_size=60) | st.lists(st.tuples(NAMES, TEXTS), max_size=6).map(
    lambda pairs: urlencode(pairs, errors="surrogatepass")
)


@given(
    st.sampled_from([*PRESETS, "tomorrow", ""]),
    QUERIES,
    st.just(b"")
    | st.binary(max_size=60)
    | QUERIES.map(lambda text: text.encode("latin-1"))
    | st.dictionaries(NAMES, VALUES, max_size=6).map(lambda fields: json.dumps(fields).encode()),
    st.sampled_from(["", "application/json", "application/x-www-form-urlencoded", "text/xml"]),
)
def test_nothing_ever_raises(preset: str, query: str, body: bytes, content_type: str) -> None:
    parsed = parse(body, {":query": query, "content-type": content_type}, context(preset))
    assert (bool(parsed.reports), parsed.rejected is not None) in {(True, False), (False, True)}
    for text in (
        parsed.detail or "",
        parsed.topic,
        *parsed.notes,
        *(ref for report in parsed.reports for ref in report.refs),
    ):
        assert "\0" not in text
        text.encode()
    if parsed.rejected is not None:
        assert parsed.detail
