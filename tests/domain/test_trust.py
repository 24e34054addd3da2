"""Who may say what about an order: what strangers send moves nothing that a trusted report, or a proof, states."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from app.domain import ids, money
from app.domain.attribution import CreditPolicy, OrderToDecide, Reason, Touch, decide
from app.domain.folding import Order, code_named, fold
from app.domain.orders import (
    TRUST_PIXEL,
    TRUST_SERVER,
    TRUST_SIGNED_PIXEL,
    TRUST_WEBHOOK,
    Customer,
    OrderReport,
    Receipt,
    Witness,
    content_hash,
    encode_report,
)
from app.domain.policies import Method, Policies, Policy
from app.domain.signals import claims_of, counting
from app.domain.trust import (
    DEFAULT_RULES,
    PixelSignals,
    Rank,
    TrustRules,
    Withheld,
    pixel_amount_max_minor,
    rank_reports,
)

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
DOORS = {TRUST_WEBHOOK: "hook", TRUST_SERVER: "api", TRUST_PIXEL: "pixel", TRUST_SIGNED_PIXEL: "pixel"}
EUR_100: dict[str, Any] = {"net_minor": 10_000, "currency": "EUR"}
SIGNED_ONLY = TrustRules(pixel_signals=PixelSignals.SIGNED_ONLY)


def witness(trust: int, *, at: datetime = NOON, **fields: Any) -> Witness:
    report = OrderReport(**{"shop": "main", "kind": "sale", "refs": ("1001",), **fields})
    receipt = Receipt(trust, DOORS[trust], DOORS[trust], at)
    return Witness(report, trust, content_hash(receipt, encode_report(report)), at, DOORS[trust], DOORS[trust])


def webhook(**fields: Any) -> Witness:
    return witness(TRUST_WEBHOOK, **fields)


def server(**fields: Any) -> Witness:
    return witness(TRUST_SERVER, **fields)


def pixel(**fields: Any) -> Witness:
    return witness(TRUST_PIXEL, **fields)


def signed_pixel(**fields: Any) -> Witness:
    return witness(TRUST_SIGNED_PIXEL, **fields)


# ── Facts ────────────────────────────────────────────────────────────────────────────────────────────────────────────

FACTS = (
    "status", "order_id", "occurred_at", "currency", "items_minor", "discount_minor", "tax_minor", "shipping_minor", "net_minor",
    "customer_key", "customer_is_new", "origin", "test", "held_since", "lockable_at", "locked_at",
)  # fmt: skip


def facts(order: Order) -> dict[str, object]:
    return {name: getattr(order, name) for name in FACTS}


@pytest.mark.parametrize(
    "fields",
    [
        {"net_minor": 1, "currency": "USD", "tax_minor": 3, "shipping_minor": 4, "items_minor": 5, "discount_minor": 6},
        {"occurred_at": datetime(2019, 1, 1, tzinfo=UTC)},
        {"customer": Customer("stranger", is_new=True)},
        {"test": True},
        {"paid": True},
        {"order_id": "another", "origin": "renewal"},
    ],
)
@pytest.mark.parametrize("at", [NOON - 3 * DAY, NOON, NOON + 3 * DAY])
def test_nothing_of_a_trusted_order_s_facts_comes_from_an_unsigned_report(fields: dict[str, Any], at: datetime) -> None:
    for trusted in (server(**EUR_100), server(codes=("LEA10",)), webhook(paid=True, **EUR_100)):
        assert facts(fold([trusted, pixel(at=at, **fields)], [])) | {"net_minor": 0, "currency": 0, **_amounts()} == (
            facts(fold([trusted], [])) | {"net_minor": 0, "currency": 0, **_amounts()}
        )


def _amounts() -> dict[str, object]:
    """Amounts are compared apart: where no trusted report states any, a pixel may."""
    return dict.fromkeys(("items_minor", "discount_minor", "tax_minor", "shipping_minor"), 0)


def test_five_pixels_that_date_an_order_to_2019_move_nothing() -> None:
    strangers = [pixel(occurred_at=datetime(2019, 1, 1, tzinfo=UTC), net_minor=number) for number in range(5)]
    assert fold([server(**EUR_100), *strangers], []).occurred_at == NOON


def test_an_order_that_no_trusted_report_dates_took_place_at_the_first_of_their_receipts() -> None:
    assert fold([server(at=NOON + HOUR), webhook(at=NOON), pixel(at=NOON - HOUR)], []).occurred_at == NOON


def test_where_no_trusted_report_states_an_amount_the_first_pixel_heard_gives_it() -> None:
    first, second = (
        pixel(net_minor=300, tax_minor=9, currency="EUR"),
        pixel(at=NOON + MINUTE, net_minor=9_000, currency="EUR"),
    )
    order = fold([second, server(codes=("LEA10",)), first], [])
    assert (order.net_minor, order.tax_minor, order.currency) == (300, 9, "EUR")
    assert order.flags == ("conflicting_reports", "unsigned")


def test_a_pixel_with_a_proof_gives_the_amount_before_an_earlier_one_without() -> None:
    trusted = server(codes=("LEA10",), proofs=("secret",))
    proven = pixel(at=NOON + 9 * DAY, proofs=("secret",), net_minor=500, currency="EUR")
    assert fold([trusted, pixel(net_minor=300, currency="EUR"), proven], []).net_minor == 500


@pytest.mark.parametrize(
    ("fields", "rules"),
    [
        ({"net_minor": 200_001, "currency": "EUR"}, DEFAULT_RULES),
        ({"net_minor": 101, "currency": "EUR"}, TrustRules(currency="EUR", amount_max_minor=100)),
    ],
)
def test_a_pixel_gives_no_amount_beyond_the_greatest_it_is_believed_for(
    fields: dict[str, Any], rules: TrustRules
) -> None:
    order = fold([server(codes=("LEA10",)), pixel(**fields)], [], rules=rules)
    assert (order.net_minor, order.flags) == (None, ("amount_unknown", "over_pixel_max"))


@pytest.mark.parametrize("at", [NOON - HOUR - MINUTE, NOON + HOUR + MINUTE])
def test_a_pixel_outside_its_window_gives_no_amount(at: datetime) -> None:
    order = fold([server(occurred_at=NOON, at=NOON), pixel(at=at, **EUR_100)], [])
    assert (order.net_minor, order.flags) == (None, ("amount_unknown",))


def test_a_pixel_in_another_currency_than_the_trusted_one_gives_no_amount() -> None:
    assert fold([server(currency="USD"), pixel(**EUR_100)], []).net_minor is None


def test_a_pixel_is_believed_for_about_two_thousand_euros_in_every_currency() -> None:
    assert pixel_amount_max_minor("EUR") == 200_000
    assert pixel_amount_max_minor("JPY") == 300_000
    assert pixel_amount_max_minor("KWD") == 2_000_000
    assert not DEFAULT_RULES.is_too_much(10**12, None)
    assert TrustRules(currency="EUR", amount_max_minor=0).is_too_much(1, "EUR")
    assert not TrustRules(currency="EUR", amount_max_minor=0).is_too_much(200_000, "USD")


# ── Ranks ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def ranks(*witnesses: Witness, rules: TrustRules = DEFAULT_RULES) -> list[tuple[int, Withheld | None]]:
    found = {id(each.witness): (int(each.rank), each.withheld) for each in rank_reports(witnesses, rules)}
    return [found[id(each)] for each in witnesses]


def test_unsigned_reports_rank_by_proof_then_by_number_within_the_window() -> None:
    trusted = webhook(occurred_at=NOON - HOUR, at=NOON, proofs=("token",))
    assert ranks(
        trusted,
        pixel(at=NOON + 30 * DAY, proofs=("token",)),
        pixel(at=NOON + 30 * DAY, refs=("token",)),
        pixel(at=NOON),
        pixel(at=NOON - 2 * HOUR),
        pixel(at=NOON + timedelta(seconds=1)),
        pixel(at=NOON - 2 * HOUR - timedelta(seconds=1), proofs=("guessed",)),
    ) == [
        (Rank.TRUSTED, None),
        (Rank.PROOF, None),
        (Rank.PROOF, None),
        (Rank.NUMBER, None),
        (Rank.NUMBER, None),
        (Rank.OUTSIDE, Withheld.OUTSIDE_WINDOW),
        (Rank.OUTSIDE, Withheld.OUTSIDE_WINDOW),
    ]


def test_without_a_stated_time_the_window_lies_around_the_first_trusted_receipt() -> None:
    assert ranks(server(at=NOON + HOUR), server(at=NOON), pixel(at=NOON - HOUR), pixel(at=NOON + 61 * MINUTE))[2:] == [
        (Rank.NUMBER, None),
        (Rank.OUTSIDE, Withheld.OUTSIDE_WINDOW),
    ]


def test_an_equal_pixel_that_a_stranger_sent_the_day_before_does_not_take_the_honest_one_out_of_its_window() -> None:
    trusted, honest = webhook(occurred_at=NOON), pixel(codes=("LEA10",), at=NOON + MINUTE)
    for at in (NOON - DAY, NOON - HOUR - MINUTE, NOON + 30 * DAY):
        for hits in ([pixel(codes=("LEA10",), at=at), honest], [honest, pixel(codes=("LEA10",), at=at)]):
            assert fold([trusted, *hits], []).codes == ("1EA10",)


def test_without_any_trusted_report_every_pixel_counts() -> None:
    assert ranks(pixel(), pixel(at=NOON + 30 * DAY)) == [(Rank.NUMBER, None)] * 2


def test_a_signed_pixel_is_trusted_unless_pixels_never_count() -> None:
    assert ranks(signed_pixel(), pixel(at=NOON + 2 * DAY), rules=SIGNED_ONLY)[0] == (Rank.TRUSTED, None)
    never = TrustRules(pixel_signals=PixelSignals.NEVER)
    assert ranks(signed_pixel(), webhook(), pixel(), rules=never) == [
        (Rank.TRUSTED, Withheld.PIXELS_OFF),
        (Rank.TRUSTED, None),
        (Rank.NUMBER, Withheld.PIXELS_OFF),
    ]
    assert ranks(signed_pixel(), rules=never) == [(Rank.TRUSTED, Withheld.PIXELS_OFF)]


def test_where_only_signed_pixels_count_the_word_of_others_is_kept_with_its_reason() -> None:
    order = fold([server(), pixel(codes=("MAX5",), **EUR_100)], [], rules=SIGNED_ONLY)
    assert (order.codes, order.net_minor) == ((), None)
    assert order.signals.codes == {"MAX5": (Rank.NUMBER, Withheld.PIXELS_OFF)}


# ── Signals ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_codes_of_the_surest_report_are_those_of_the_order() -> None:
    number, proven = pixel(codes=("MAX5", "EVA1")), pixel(codes=("LEA10", "MAX5"), proofs=("token",))
    assert fold([webhook(proofs=("token",)), number, proven], []).codes == ("1EA10", "MAX5")
    assert fold([webhook(proofs=("token",), codes=("EVA1",)), number, proven], []).codes == ("EVA1",)
    assert set(fold([webhook(), number, proven], []).codes) == {"EVA1", "MAX5", "1EA10"}


def test_where_the_shop_lists_all_codes_a_pixel_names_none() -> None:
    order = fold([webhook(lists_codes=True), pixel(codes=("MAX5",), click_ids=("clk",))], [])
    assert (order.codes, counting(order.signals.click_ids)) == ((), ("clk",))
    assert order.signals.codes["MAX5"].withheld is Withheld.CODES_LISTED


def test_a_newer_list_of_codes_replaces_an_older_one_from_the_same_place() -> None:
    old = webhook(version=1, codes=("LEA10",), code_ids=("promo_1",), lists_codes=True)
    none, other = webhook(version=2, lists_codes=True), webhook(version=2, codes=("MAX5",), lists_codes=True)
    assert fold([old, none], []).codes == ()
    assert fold([old, none], []).signals.code_ids == ()
    assert fold([other, old], []).codes == ("MAX5",)
    assert fold([old, server(version=9, lists_codes=True)], []).codes == ("1EA10",)
    # A message that was filtered, or is about a refund, lists none.
    assert fold([old, webhook(version=2)], []).codes == ("1EA10",)


def test_another_sources_list_takes_nothing_back() -> None:
    old = webhook(version=1, codes=("LEA10",), lists_codes=True)
    none = replace(webhook(version=2, lists_codes=True), origin_id="another source")
    assert fold([old, none], []).codes == ("1EA10",)
    assert fold([replace(old, origin_id="another source"), none], []).codes == ()
    # A shop that was connected anew is the same shop.
    before, after = (
        replace(each, report=replace(each.report, system="shopify"), origin_id=str(number))
        for number, each in enumerate((old, none))
    )
    assert fold([before, after], []).codes == ()


def test_a_list_takes_back_what_the_shop_systems_older_messages_named_though_they_list_nothing() -> None:
    named = webhook(version=1, codes=("LEA10",), system="shopify")
    listed = webhook(version=2, lists_codes=True, system="shopify")
    assert fold([named, listed], []).codes == ()
    assert fold([listed, replace(named, report=replace(named.report, version=3))], []).codes == ("1EA10",)
    # Where nobody says that it is one resource, versions are no ages: Stripe's session and its invoice.
    assert fold([webhook(version=1, codes=("LEA10",)), listed], []).codes == ("1EA10",)


def test_what_only_unsigned_reports_name_by_number_claims_the_order() -> None:
    own = ids.show("click", ids.floor_at(NOON))
    by_number = pixel(codes=("MAX5", "EVA1"), click_ids=(own, "none of ours"), visitor_id="v1")
    claims = ("code:EVA1", "code:MAX5", f"click:{ids.floor_at(NOON)}", "visitor:v1")
    assert claims_of(fold([webhook(), by_number], []).signals) == tuple(sorted(claims))
    sure = webhook(codes=("MAX5",), click_ids=(own,), visitor_id="v2")
    assert claims_of(fold([sure, by_number], []).signals) == ("code:EVA1",)
    for nothing in (
        [webhook(proofs=("token",)), pixel(codes=("MAX5",), proofs=("token",))],
        [webhook(lists_codes=True), pixel(codes=("MAX5",))],
        [webhook(), pixel(codes=("MAX5",), at=NOON + DAY)],
        [webhook()],
    ):
        assert claims_of(fold(nothing, []).signals) == ()


def test_what_claims_too_many_orders_is_withheld_and_flagged_and_nothing_surer_is() -> None:
    by_number = pixel(codes=("MAX5", "EVA1"), visitor_id="v1")
    order = fold([webhook(), by_number], [], overclaimed=("code:MAX5", "visitor:v1"))
    assert (order.codes, order.visitor_id, order.flags) == (
        ("EVA1",),
        None,
        ("amount_unknown", "too_many_claims"),
    )
    assert order.signals.codes["MAX5"] == (Rank.NUMBER, Withheld.TOO_MANY_CLAIMS)
    sure = fold([webhook(codes=("MAX5",), **EUR_100), by_number], [], overclaimed=("code:MAX5",))
    assert (sure.codes, sure.signals.codes["MAX5"].withheld) == (("MAX5",), None)
    assert "too_many_claims" not in sure.flags


def test_a_code_by_its_id_takes_the_place_of_codes_that_pixels_name() -> None:
    order = code_named(
        fold([webhook(code_ids=("promo_1", "promo_2")), pixel(codes=("MAX5",))], []), {"promo_1": "1EA10"}, {}
    )
    assert (order.codes, order.aliases) == (("1EA10",), {"promo_1": "1EA10"})
    assert order.signals.codes["MAX5"].rank is Rank.NUMBER


def test_the_visitor_is_the_one_of_the_surest_report() -> None:
    trusted = webhook(proofs=("token",))
    reports = [pixel(visitor_id="v1"), pixel(visitor_id="v2", proofs=("token",)), trusted]
    assert fold(reports, []).visitor_id == "v2"
    assert fold([*reports, server(visitor_id="v3")], []).visitor_id == "v3"
    assert fold([webhook(), pixel(visitor_id="v1", at=NOON + DAY)], []).visitor_id is None


# ── Who gets the order ───────────────────────────────────────────────────────────────────────────────────────────────

LEA, MAX = UUID(int=1), UUID(int=2)


def code(owner: UUID | None, rank: Rank, text: str = "LEA10", **fields: Any) -> Touch:
    owned = {} if owner is None else {"collaboration_id": owner, "influencer_id": owner, "campaign_id": owner}
    return Touch(Method.CODE, text, text, UUID(int=90), NOON, code_id=UUID(int=91), rank=rank, **owned, **fields)


def click(owner: UUID, rank: Rank, *, method: Method = Method.CLICK, days: float = 1, **fields: Any) -> Touch:
    at = NOON - timedelta(days=days)
    owned = {"collaboration_id": owner, "influencer_id": owner, "campaign_id": owner}
    click_id = UUID(int=ids.floor_at(at).int + owner.int)
    return Touch(method, str(click_id), "", click_id, at, rank=rank, **owned, **fields)


DEFAULT_POLICY = Policy()


def decided(*touches: Touch, policy: Policy = DEFAULT_POLICY) -> tuple[list[UUID | None], list[Reason]]:
    decision = decide(touches, OrderToDecide(NOON, 10_000, NOON), Policies(policy))
    return [each.touch.influencer_id for each in decision.credits], [each.reason for each in decision.candidates]


@pytest.mark.parametrize(
    ("surer", "vaguer"), [(Rank.TRUSTED, Rank.PROOF), (Rank.TRUSTED, Rank.NUMBER), (Rank.PROOF, Rank.NUMBER)]
)
def test_no_signal_of_a_lower_rank_outranks_or_joins(surer: Rank, vaguer: Rank) -> None:
    linear = Policy(model="linear", precedence=(Method.CLICK, Method.CODE, Method.VISITOR))
    for surest in (code(LEA, surer), click(LEA, surer), click(LEA, surer, method=Method.VISITOR)):
        for vague in (
            code(MAX, vaguer, "MAX5"),
            click(MAX, vaguer),
            click(MAX, vaguer, method=Method.VISITOR, days=0.5),
        ):
            for policy in (Policy(), linear):
                credited, why = decided(surest, vague, policy=policy)
                assert credited == [LEA]
                assert Reason.UNSIGNED in why


@pytest.mark.parametrize(
    "trusted",
    [
        code(None, Rank.TRUSTED),
        code(LEA, Rank.TRUSTED, code_ends_at=NOON),
        Touch(Method.CODE, "SUMMER", "SUMMER", occurred_at=NOON),
        click(LEA, Rank.TRUSTED, days=31),
    ],
)
def test_a_trusted_signal_that_is_not_eligible_blocks_nothing(trusted: Touch) -> None:
    assert decided(trusted, click(MAX, Rank.NUMBER))[0] == [MAX]


def test_a_withheld_signal_never_counts() -> None:
    for reason in Withheld:
        assert decided(code(MAX, Rank.NUMBER, withheld=reason)) == ([], [Reason(reason)])


def test_a_stranger_s_click_involves_no_owner_of_a_trusted_code() -> None:
    by_involvement = code(LEA, Rank.TRUSTED, credit_policy=CreditPolicy.IF_INVOLVED)
    assert decided(by_involvement, click(LEA, Rank.PROOF, days=3))[0] == [LEA]
    credited, why = decided(by_involvement, click(MAX, Rank.NUMBER))
    assert (credited, why[0]) == ([MAX], Reason.OWNER_NOT_INVOLVED)


def test_a_stranger_s_click_takes_no_code_from_the_winner() -> None:
    if_winner = code(LEA, Rank.TRUSTED, credit_policy=CreditPolicy.IF_WINNER)
    assert decided(if_winner, click(LEA, Rank.PROOF, days=3), click(MAX, Rank.NUMBER))[0] == [LEA]
    assert decided(if_winner, click(LEA, Rank.PROOF, days=3), click(MAX, Rank.PROOF))[0] == [MAX]


def test_a_stranger_s_click_in_another_campaign_puts_no_other_policy_in_force() -> None:
    """Where all touches are of one campaign its own policy governs; a touch of a lower rank is none of them."""
    own = Policy(precedence=(Method.CLICK, Method.CODE), version=3)
    policies = Policies(Policy(), {LEA: own})
    eva = replace(click(LEA, Rank.TRUSTED), influencer_id=UUID(int=3))
    for strangers in ([], [click(MAX, Rank.NUMBER)], [click(MAX, Rank.PROOF), code(MAX, Rank.NUMBER, "MAX5")]):
        decision = decide([code(LEA, Rank.TRUSTED), eva, *strangers], OrderToDecide(NOON, 10_000, NOON), policies)
        assert [each.touch.influencer_id for each in decision.credits] == [UUID(int=3)]
        assert decision.policy_version == 3


# ── Whatever a stranger sends ────────────────────────────────────────────────────────────────────────────────────────

HITS = st.builds(
    pixel,
    at=st.sampled_from([NOON + shift for shift in (-3 * DAY, -HOUR, -MINUTE, MINUTE, HOUR, 40 * DAY)]),
    occurred_at=st.sampled_from([None, datetime(2019, 1, 1, tzinfo=UTC), NOON]),
    net_minor=st.sampled_from([None, 1, 10_000, 10**9]),
    currency=st.sampled_from([None, "EUR", "USD"]),
    codes=st.sampled_from([(), ("MAX5",)]),
    click_ids=st.sampled_from([(), ("clk_own",)]),
    visitor_id=st.sampled_from([None, "v-own"]),
    customer=st.sampled_from([Customer(), Customer("stranger", is_new=False)]),
    paid=st.sampled_from([None, True]),
    test=st.booleans(),
    proofs=st.sampled_from([(), ("guessed",)]),
)
HONEST = (
    [webhook(occurred_at=NOON, proofs=("token",), paid=True, **EUR_100)],
    [webhook(occurred_at=NOON, proofs=("token",), lists_codes=True, codes=("LEA10",), **EUR_100)],
    [server(codes=("LEA10",), **EUR_100)],
    [webhook(proofs=("token",), **EUR_100), pixel(proofs=("token",), click_ids=("clk_lea",), visitor_id="v1")],
    [webhook(**EUR_100), signed_pixel(codes=("LEA10",), click_ids=("clk_lea",))],
)


@given(
    st.sampled_from(HONEST), st.lists(HITS, max_size=20), st.randoms(), st.sampled_from([DEFAULT_RULES, SIGNED_ONLY])
)
def test_a_stranger_moves_no_fact_and_no_signal_of_a_trusted_order(
    honest: list[Witness], hits: list[Witness], random: Any, rules: TrustRules
) -> None:
    arrived = [*honest, *hits]
    random.shuffle(arrived)
    alone, attacked = fold(honest, [], rules=rules), fold(arrived, [], rules=rules)
    assert facts(attacked) == facts(alone)
    for before, after in (
        (alone.signals.codes, attacked.signals.codes),
        (alone.signals.click_ids, attacked.signals.click_ids),
    ):
        sure = {name: support for name, support in before.items() if support.rank >= Rank.PROOF}
        assert {name: after[name] for name in sure} == sure
        added = [support for name, support in after.items() if name not in before]
        assert all(support.rank <= Rank.NUMBER for support in added)
        assert rules is DEFAULT_RULES or all(support.withheld for support in added)
    if alone.visitor_id is not None:
        assert attacked.visitor_id == alone.visitor_id


@given(st.sampled_from(HONEST), st.lists(HITS, max_size=6), st.randoms())
def test_the_order_of_arrival_changes_nothing(honest: list[Witness], hits: list[Witness], random: Any) -> None:
    arrived = [*honest, *hits, *hits[:2]]
    before = fold(arrived, [])
    random.shuffle(arrived)
    assert fold(arrived, []) == before


def test_every_currency_has_a_default() -> None:
    assert all(pixel_amount_max_minor(each) > 0 for each in ("EUR", "VND", "KWD", "XOF"))
    assert money.exponent("JPY") == 0
