"""Who gets an order: worked vectors, the precedence table, windows, ties, and what always holds."""

import dataclasses
import random
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import ids
from app.domain.attribution import (
    LATE_CLICK_MAX,
    PENDING_CLICK_MAX,
    AttributionStatus,
    CreditPolicy,
    Decision,
    OrderToDecide,
    Reason,
    Touch,
    decide,
    months_after,
)
from app.domain.click_classes import BOT, EMBEDDED, HEAD, HUMAN, OWN, PREFETCH, PREVIEW, TEST
from app.domain.policies import MODELS, ArchivedInfluencers, Method, Policies, Policy, SelfReferral, read_policy
from app.domain.trust import Rank, Withheld

ORDERED = datetime(2026, 11, 22, 12, tzinfo=UTC)
DEFAULTS = Policies()


def uid(number: int) -> UUID:
    return UUID(int=number)


LEA, MAX = uid(1), uid(2)


def code(
    owner: UUID | None, text: str = "LEA10", policy: CreditPolicy = CreditPolicy.ALWAYS, **fields: object
) -> Touch:
    """A redeemed code of this influencer; of nobody for None."""
    owned = {} if owner is None else {"collaboration_id": owner, "influencer_id": owner, "campaign_id": owner}
    values = {"id": uid(90), "code_id": uid(91), "occurred_at": ORDERED, "credit_policy": policy, **owned, **fields}
    return Touch(Method.CODE, text, text, **values)  # type: ignore[arg-type]


def click(owner: UUID, *, days: float = 1, method: Method = Method.CLICK, number: int = 0, **fields: object) -> Touch:
    """A click on this influencer's link, so many days before the order."""
    at = ORDERED - timedelta(days=days)
    click_id = UUID(int=ids.floor_at(at).int + number)
    values = {
        "id": click_id,
        "occurred_at": at,
        "collaboration_id": owner,
        "influencer_id": owner,
        "campaign_id": owner,
        "link_id": uid(80),
        **fields,
    }
    return Touch(method, str(click_id), **values)  # type: ignore[arg-type]


def unknown_click(*, days: float = 1) -> Touch:
    click_id = ids.floor_at(ORDERED - timedelta(days=days))
    return Touch(Method.CLICK, str(click_id), "", click_id)


def decided(
    *touches: Touch, policies: Policies = DEFAULTS, net: int | None = 10_000, after: timedelta = timedelta(0)
) -> Decision:
    return decide(touches, OrderToDecide(ORDERED, net, ORDERED + after), policies)


def winners(decision: Decision) -> list[tuple[Method, UUID | None]]:
    return [(credit.touch.method, credit.touch.influencer_id) for credit in decision.credits]


def reasons(decision: Decision) -> dict[str, tuple[bool, Reason]]:
    return {each.touch.signal: (each.eligible, each.reason) for each in decision.candidates}


def test_the_words_that_a_client_may_read_are_these() -> None:
    words = {each.__name__: " ".join(each) for each in (Method, AttributionStatus, Reason, CreditPolicy)}
    assert words == {
        "Method": "code click visitor customer bound",
        "AttributionStatus": "attributed unattributed pending_click",
        "Reason": (
            "code_owner touch_model customer_bound outranked expired_window click_after_order campaign_not_active code_inactive code_unassigned"
            " unknown_code unknown_click never_credited owner_not_involved owner_not_winner method_off binding_ended self_referral influencer_archived"
            " unsigned outside_pixel_window codes_listed pixels_off"
            " too_many_claims no_signal waiting_for_click"
        ),
        "CreditPolicy": "always if_involved if_winner never",
    }


def test_a_touch_says_nothing_that_was_not_found() -> None:
    fields = {name: getattr(Touch(Method.CODE, "X"), name) for name in Touch.__struct_fields__}
    assert fields.pop("method") is Method.CODE
    assert fields.pop("credit_policy") is CreditPolicy.ALWAYS
    assert (fields.pop("signal"), fields.pop("shown"), fields.pop("rank")) == ("X", "", Rank.TRUSTED)
    assert set(fields.values()) == {None}


def test_nothing_that_was_decided_can_be_changed() -> None:
    decision = decided(click(LEA))
    order = OrderToDecide(ORDERED, 1, ORDERED)
    for value in (decision, decision.credits[0], decision.candidates[0], decision.credits[0].touch, order):
        with pytest.raises(AttributeError):
            setattr(value, value.__struct_fields__[0], None)


def test_an_order_without_an_amount_is_credited_without_one() -> None:
    assert [(each.net_minor, each.weight_bp) for each in decided(click(LEA), net=None).credits] == [(None, 10_000)]


# ── Models ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("model", "ages", "expected"),
    [
        ("last", [22, 15, 8, 1], [10_000]),
        ("first", [22, 15, 8, 1], [10_000]),
        ("linear", [20, 10, 0], [3334, 3333, 3333]),
        ("position", [22, 15, 8, 1], [4000, 1000, 1000, 4000]),
        ("position", [20, 10, 0], [4000, 2000, 4000]),
        ("position", [8, 1], [5000, 5000]),
        ("position", [3], [10_000]),
        ("position", [28, 21, 14, 7, 0], [4000, 667, 667, 666, 4000]),
    ],
)
def test_models_split_as_worked_out_by_hand(model: str, ages: list[int], expected: list[int]) -> None:
    touches = [click(uid(100 + age), days=age) for age in ages]
    decision = decided(*touches, policies=Policies(Policy(model=model)))
    assert [credit.net_minor for credit in decision.credits] == expected
    assert [credit.weight_bp for credit in decision.credits] == expected


def test_last_takes_the_newest_and_first_the_oldest() -> None:
    touches = [click(LEA, days=2), click(MAX, days=1)]
    assert winners(decided(*touches)) == [(Method.CLICK, MAX)]
    assert winners(decided(*touches, policies=Policies(Policy(model="first")))) == [(Method.CLICK, LEA)]


@given(
    st.sampled_from(sorted(MODELS)),
    st.lists(st.floats(0, 29), min_size=1, max_size=8),
    st.integers(-(10**9), 10**9),
)
def test_credits_always_sum_to_the_order(model: str, ages: list[float], net: int) -> None:
    touches = [click(uid(100 + number), days=age, number=number) for number, age in enumerate(ages)]
    decision = decided(*touches, policies=Policies(Policy(model=model)), net=net)
    assert sum(credit.net_minor or 0 for credit in decision.credits) == net
    assert sum(credit.weight_bp for credit in decision.credits) == 10_000
    assert sum((credit.weight for credit in decision.credits), Fraction(0)) == 1
    assert len(decision.candidates) == len(touches)


@given(st.permutations([click(uid(100 + number), days=age, number=number) for number, age in enumerate([1, 1, 5, 9])]))
def test_the_order_in_which_clicks_are_given_does_not_matter(touches: list[Touch]) -> None:
    assert decided(*touches) == decided(*sorted(touches, key=lambda touch: touch.signal))


def test_equal_times_are_told_apart_by_the_id() -> None:
    low, high = click(LEA, number=1), click(MAX, number=2)
    assert winners(decided(low, high)) == winners(decided(high, low)) == [(Method.CLICK, MAX)]


# ── Precedence: four code policies, who clicked, in which order, in or out of the window ─────────────────────────────

CLICKED = {
    "nobody": [],
    "owner": [click(LEA)],
    "other": [click(MAX)],
    "owner, then other": [click(LEA, days=2), click(MAX, days=1)],
    "other, then owner": [click(MAX, days=2), click(LEA, days=1)],
    "owner long ago": [click(LEA, days=31)],
    "other long ago": [click(MAX, days=31)],
    "owner long ago, other now": [click(LEA, days=31), click(MAX, days=1)],
}
BY_CODE, LEA_CLICK, MAX_CLICK = [(Method.CODE, LEA)], [(Method.CLICK, LEA)], [(Method.CLICK, MAX)]
NOBODY: list[tuple[Method, UUID]] = []
TABLE = [
    # clicked                       always   if_involved if_winner  never
    ("nobody",                      BY_CODE, NOBODY,     NOBODY,    NOBODY),
    ("owner",                       BY_CODE, BY_CODE,    BY_CODE,   LEA_CLICK),
    ("other",                       BY_CODE, MAX_CLICK,  MAX_CLICK, MAX_CLICK),
    ("owner, then other",           BY_CODE, BY_CODE,    MAX_CLICK, MAX_CLICK),
    ("other, then owner",           BY_CODE, BY_CODE,    BY_CODE,   LEA_CLICK),
    ("owner long ago",              BY_CODE, NOBODY,     NOBODY,    NOBODY),
    ("other long ago",              BY_CODE, NOBODY,     NOBODY,    NOBODY),
    ("owner long ago, other now",   BY_CODE, MAX_CLICK,  MAX_CLICK, MAX_CLICK),
]  # fmt: skip
POLICIES = [CreditPolicy.ALWAYS, CreditPolicy.IF_INVOLVED, CreditPolicy.IF_WINNER, CreditPolicy.NEVER]


@pytest.mark.parametrize(
    ("clicked", "policy", "expected"),
    [(row[0], policy, winner) for row in TABLE for policy, winner in zip(POLICIES, row[1:], strict=True)],
)
def test_code_and_clicks_are_settled_by_the_code_s_policy(
    clicked: str, policy: CreditPolicy, expected: list[tuple[Method, UUID]]
) -> None:
    decision = decided(code(LEA, policy=policy), *CLICKED[clicked])
    assert winners(decision) == expected
    assert decision.verdict is (AttributionStatus.ATTRIBUTED if expected else AttributionStatus.UNATTRIBUTED)


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        (CreditPolicy.IF_INVOLVED, Reason.OWNER_NOT_INVOLVED),
        (CreditPolicy.IF_WINNER, Reason.OWNER_NOT_WINNER),
        (CreditPolicy.NEVER, Reason.NEVER_CREDITED),
    ],
)
def test_a_withheld_code_says_why(policy: CreditPolicy, reason: Reason) -> None:
    decision = decided(code(LEA, policy=policy), click(MAX))
    assert reasons(decision)["LEA10"] == (False, reason)
    assert reasons(decision)[click(MAX).signal] == (True, Reason.TOUCH_MODEL)


def test_a_code_of_nobody_never_blocks_a_click() -> None:
    for lost in (Touch(Method.CODE, "X", "X", occurred_at=ORDERED), code(None), code(LEA, code_ends_at=ORDERED)):
        assert winners(decided(lost, click(MAX))) == [(Method.CLICK, MAX)]


def test_of_two_codes_the_first_in_the_cart_wins_and_the_other_is_outranked() -> None:
    decision = decided(code(MAX, "MAX5"), code(LEA, "LEA10"))
    assert winners(decision) == [(Method.CODE, MAX)]
    assert (decision.method, decision.reason) == (Method.CODE, Reason.CODE_OWNER)
    assert reasons(decision) == {"MAX5": (True, Reason.CODE_OWNER), "LEA10": (True, Reason.OUTRANKED)}


def test_a_named_click_beats_a_newer_one_of_the_visitor() -> None:
    decision = decided(click(LEA, days=3), click(MAX, days=1, method=Method.VISITOR))
    assert winners(decision) == [(Method.CLICK, LEA)]
    lone = decided(click(MAX, method=Method.VISITOR))
    assert winners(lone) == [(Method.VISITOR, MAX)]
    assert (lone.method, lone.reason) == (Method.VISITOR, Reason.TOUCH_MODEL)


def test_precedence_may_be_turned_around_and_methods_left_out() -> None:
    click_first = Policies(Policy(precedence=(Method.CLICK, Method.CODE)))
    assert winners(decided(code(LEA), click(MAX), policies=click_first)) == [(Method.CLICK, MAX)]
    assert winners(decided(code(LEA), policies=click_first)) == [(Method.CODE, LEA)]
    off = decided(click(MAX, method=Method.VISITOR), policies=click_first)
    assert (off.verdict, off.reason) == (AttributionStatus.UNATTRIBUTED, Reason.METHOD_OFF)
    assert [(each.touch.method, each.eligible) for each in off.candidates] == [(Method.VISITOR, False)]


def test_candidates_stand_by_precedence_then_codes_as_in_the_cart_and_clicks_newest_first() -> None:
    touches = [
        click(LEA, days=3), click(MAX, days=1), code(MAX, "ZOE"), code(LEA, "ANA"), unknown_click(), click(MAX, method=Method.VISITOR),
    ]  # fmt: skip
    first, second, zoe, ana, unknown, visitor = [touch.signal for touch in touches]
    in_order = [each.touch.signal for each in decided(*touches).candidates]
    assert in_order == [zoe, ana, second, first, unknown, visitor]
    turned = decided(*touches, policies=Policies(Policy(precedence=(Method.VISITOR, Method.CLICK))))
    assert [each.touch.signal for each in turned.candidates] == [visitor, second, first, unknown, zoe, ana]
    assert reasons(turned)[zoe] == (False, Reason.METHOD_OFF)


def test_clicks_of_one_moment_stand_by_their_ids_the_newest_first() -> None:
    low, high = click(LEA, number=1), click(MAX, number=2)
    for touches in ([low, high], [high, low]):
        assert [each.touch.signal for each in decided(*touches).candidates] == [high.signal, low.signal]


# ── Each on its own ──────────────────────────────────────────────────────────────────────────────────────────────────

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("touch", "reason"),
    [
        (Touch(Method.CODE, "X", "X", occurred_at=ORDERED), Reason.UNKNOWN_CODE),
        (code(None), Reason.CODE_UNASSIGNED),
        (code(LEA, code_starts_at=ORDERED + SECOND), Reason.CODE_INACTIVE),
        (code(LEA, code_ends_at=ORDERED), Reason.CODE_INACTIVE),
        (code(LEA, campaign_starts_at=ORDERED + SECOND), Reason.CAMPAIGN_NOT_ACTIVE),
        (code(LEA, campaign_ends_at=ORDERED), Reason.CAMPAIGN_NOT_ACTIVE),
        (code(LEA, withheld=Withheld.CODES_LISTED), Reason.CODES_LISTED),
        (click(LEA, days=30.001), Reason.EXPIRED_WINDOW),
        (click(LEA, days=-(LATE_CLICK_MAX + SECOND) / timedelta(days=1)), Reason.CLICK_AFTER_ORDER),
        (click(LEA, days=-1 / 86_400, method=Method.VISITOR), Reason.CLICK_AFTER_ORDER),
        (click(LEA, days=1, campaign_ends_at=ORDERED - timedelta(days=1)), Reason.CAMPAIGN_NOT_ACTIVE),
        (click(LEA, withheld=Withheld.OUTSIDE_WINDOW), Reason.OUTSIDE_PIXEL_WINDOW),
        (Touch(Method.CLICK, "nonsense"), Reason.UNKNOWN_CLICK),
    ],
)
def test_a_touch_that_cannot_explain_the_order_says_why(touch: Touch, reason: Reason) -> None:
    decision = decided(touch)
    assert reasons(decision) == {touch.signal: (False, reason)}
    assert (decision.verdict, decision.reason, decision.credits) == (AttributionStatus.UNATTRIBUTED, reason, ())


@pytest.mark.parametrize(
    "touch",
    [
        code(LEA, code_starts_at=ORDERED, code_ends_at=ORDERED + SECOND),
        code(LEA, campaign_starts_at=ORDERED, campaign_ends_at=ORDERED + SECOND),
        click(LEA, days=30),
        click(LEA, days=-LATE_CLICK_MAX / timedelta(days=1)),
        click(LEA, days=5, campaign_ends_at=ORDERED - timedelta(days=4)),
    ],
)
def test_the_edges_still_count(touch: Touch) -> None:
    assert winners(decided(touch)) == [(touch.method, LEA)]


def test_an_order_without_a_signal_says_so() -> None:
    decision = decided()
    assert (decision.verdict, decision.reason, decision.candidates) == (
        AttributionStatus.UNATTRIBUTED,
        Reason.NO_SIGNAL,
        (),
    )


def test_an_order_that_names_or_is_credited_by_a_click_that_was_no_visit_is_flagged() -> None:
    for class_, flag in ((EMBEDDED, "embedded_click"), (OWN, "own_click")):
        assert decided(click(LEA, click_class=class_)).flags == {flag}
        assert decided(click(LEA, click_class=class_)).verdict is AttributionStatus.ATTRIBUTED
        assert decided(click(LEA, click_class=class_), code(MAX)).flags == {flag}  # named, though it lost
        assert decided(click(LEA, click_class=class_, method=Method.VISITOR)).flags == {flag}
        assert decided(click(LEA, click_class=class_, method=Method.VISITOR), code(MAX)).flags == frozenset()
        assert decided(click(LEA, click_class=class_, withheld=Withheld.PIXELS_OFF)).flags == frozenset()
    for class_ in (HUMAN, BOT, PREVIEW, PREFETCH, HEAD, TEST):
        assert decided(click(LEA, click_class=class_)).flags == frozenset()


def test_only_a_late_click_that_the_order_names_is_flagged() -> None:
    assert decided(click(LEA, days=-1), code(MAX)).flags == {"late_click"}
    assert "late_click" not in decided(click(LEA, days=-1, method=Method.VISITOR), code(MAX)).flags
    assert "late_click" not in decided(click(LEA, days=-0.001)).flags
    assert "late_click" not in decided(click(LEA), code(MAX, policy=CreditPolicy.NEVER)).flags
    assert Decision(AttributionStatus.UNATTRIBUTED, None, "last", 0, Reason.NO_SIGNAL, (), ()).flags == frozenset()


# ── The link that led to a code ──────────────────────────────────────────────────────────────────────────────────────


def links_of(decision: Decision) -> list[tuple[Method, UUID | None, UUID | None]]:
    return [(credit.touch.method, credit.touch.code_id, credit.touch.link_id) for credit in decision.credits]


STORY, BIO = uid(81), uid(82)


@pytest.mark.parametrize(
    ("clicks", "link"),
    [
        ([], None),
        ([click(LEA, days=2, link_id=STORY), click(LEA, days=1, link_id=BIO)], BIO),
        ([click(LEA, days=2, link_id=STORY), click(LEA, days=1, link_id=BIO, method=Method.VISITOR)], STORY),
        ([click(LEA, days=2, link_id=STORY), click(LEA, days=1, link_id=BIO, rank=Rank.PROOF)], STORY),
        ([click(LEA, link_id=BIO, rank=Rank.NUMBER)], BIO),
        ([click(LEA, link_id=BIO, withheld=Withheld.OUTSIDE_WINDOW)], None),
        ([click(LEA, days=31, link_id=BIO)], None),
        ([click(MAX, link_id=BIO)], None),
        ([click(LEA, link_id=BIO, collaboration_id=uid(7))], None),
    ],
)
def test_a_code_order_names_the_link_of_the_surest_click_that_its_owner_had(
    clicks: list[Touch], link: UUID | None
) -> None:
    decision = decided(code(LEA), *clicks)
    assert links_of(decision) == [(Method.CODE, uid(91), link)]
    assert decision.credits[0].net_minor == 10_000
    assert decision.candidates[0].touch.link_id is None


def test_the_model_says_which_of_several_links_led_to_a_code() -> None:
    clicks = [click(LEA, days=days, link_id=uid(80 + days)) for days in (1, 2, 3)]
    found = {
        model: links_of(decided(code(LEA), *clicks, policies=Policies(Policy(model=model))))[0][2] for model in MODELS
    }
    assert found == {"last": uid(81), "first": uid(83), "linear": uid(81), "position": uid(81)}


def test_a_method_that_is_off_names_no_link() -> None:
    code_only = Policies(Policy(precedence=(Method.CODE,)))
    assert links_of(decided(code(LEA), click(LEA), policies=code_only)) == [(Method.CODE, uid(91), None)]


# ── The influencer who buys, and the one in the archive ──────────────────────────────────────────────────────────────


def decided_for(key: str | None, *touches: Touch, policies: Policies = DEFAULTS) -> Decision:
    return decide(touches, OrderToDecide(ORDERED, 10_000, ORDERED, key), policies)


WITHHOLDING = Policies(Policy(self_referral=SelfReferral.WITHHOLD))
STOPPING = Policies(Policy(archived_influencers=ArchivedInfluencers.STOP))


def test_an_order_that_its_influencer_bought_is_flagged_and_by_default_credited() -> None:
    for touch in (code(LEA, owner_keys=["lea"]), click(LEA, owner_keys=["lea", "id"])):
        own = decided_for("lea", touch)
        assert ("self_referral" in own.flags, len(own.credits)) == (True, 1)
        for other in (decided_for("shopper", touch), decided_for(None, touch)):
            assert ("self_referral" in other.flags, len(other.credits)) == (False, 1)
    lost = decided_for("lea", code(MAX), click(LEA, owner_keys=["lea"]))
    assert (winners(lost), "self_referral" in lost.flags) == ([(Method.CODE, MAX)], False)


def test_a_policy_withholds_what_the_influencer_bought_and_blocks_nobody_else_by_it() -> None:
    own = code(LEA, owner_keys=["lea"])
    decision = decided_for("lea", own, policies=WITHHOLDING)
    assert (decision.verdict, decision.reason) == (AttributionStatus.UNATTRIBUTED, Reason.SELF_REFERRAL)
    assert "self_referral" in decision.flags
    assert winners(decided_for("lea", own, click(MAX), policies=WITHHOLDING)) == [(Method.CLICK, MAX)]
    assert winners(decided_for("shopper", own, policies=WITHHOLDING)) == [(Method.CODE, LEA)]


def test_an_archived_influencer_goes_on_earning_unless_the_policy_says_stop() -> None:
    hour = timedelta(hours=1)
    gone = {"owner_archived_at": ORDERED - hour}
    for touch in (code(LEA, **gone), click(LEA, days=0.01, **gone)):
        assert winners(decided(touch)) == [(touch.method, LEA)]
        assert reasons(decided(touch, policies=STOPPING)) == {touch.signal: (False, Reason.INFLUENCER_ARCHIVED)}
    before = [click(LEA, days=1, **gone), code(LEA, owner_archived_at=ORDERED + hour)]
    for touch in before:
        assert winners(decided(touch, policies=STOPPING)) == [(touch.method, LEA)]
    own = Policies(Policy(), {LEA: STOPPING.brand})
    assert winners(decided(code(LEA, **gone), code(MAX, **gone, text="MAX5"), policies=own)) == [(Method.CODE, MAX)]


# ── Bound customers, and clicks of their earlier orders ──────────────────────────────────────────────────────────────

FOLLOWING_ALL = Policy(precedence=(*Policy().precedence, Method.CUSTOMER, Method.BOUND))
FOLLOWING = Policies(FOLLOWING_ALL)


def bound(owner: UUID, *, days: float = 40, share: Fraction = Fraction(1), nth: int = 1, **fields: object) -> Touch:
    """The first order of the customer, so many days ago, with which this influencer was credited."""
    values = {"collaboration_id": owner, "influencer_id": owner, "campaign_id": owner, **fields}
    at = ORDERED - timedelta(days=days)
    return Touch(Method.BOUND, str(owner), "", uid(70), at, share=share, nth=nth, **values)  # type: ignore[arg-type]


def test_a_binding_is_ranked_last_and_clicks_of_earlier_orders_before_it() -> None:
    touches = [bound(LEA), click(MAX, method=Method.CUSTOMER), click(uid(3), days=9, method=Method.VISITOR)]
    assert winners(decided(*touches, policies=FOLLOWING)) == [(Method.VISITOR, uid(3))]
    assert winners(decided(*touches[:2], policies=FOLLOWING)) == [(Method.CUSTOMER, MAX)]
    alone = decided(bound(LEA), code(None), policies=FOLLOWING)
    assert (winners(alone), alone.reason) == ([(Method.BOUND, LEA)], Reason.CUSTOMER_BOUND)
    assert reasons(decided(*touches[:2]))[str(LEA)] == (False, Reason.METHOD_OFF)


def test_a_binding_beats_no_trusted_click_and_is_moved_by_no_unsigned_one() -> None:
    for rank in (Rank.PROOF, Rank.NUMBER):
        assert winners(decided(bound(LEA), click(MAX, rank=rank), policies=FOLLOWING)) == [(Method.BOUND, LEA)]
    assert winners(decided(bound(LEA), click(MAX), policies=FOLLOWING)) == [(Method.CLICK, MAX)]


def test_a_binding_is_no_click_that_a_code_could_rest_on() -> None:
    for credit_policy, reason in (
        (CreditPolicy.IF_INVOLVED, Reason.OWNER_NOT_INVOLVED),
        (CreditPolicy.IF_WINNER, Reason.OWNER_NOT_WINNER),
    ):
        decision = decided(code(MAX, policy=credit_policy), bound(MAX), policies=FOLLOWING)
        assert reasons(decision)["LEA10"] == (False, reason)
        assert winners(decision) == [(Method.BOUND, MAX)]


@pytest.mark.parametrize(
    ("touch", "rules", "expected"),
    [
        (bound(LEA, nth=2), {"bound_orders": 2}, True),
        (bound(LEA, nth=3), {"bound_orders": 2}, False),
        (bound(LEA, days=30, nth=999), {"bound_months": 1}, True),
        (bound(LEA, days=31), {"bound_months": 1}, False),
        (bound(LEA, days=5_000), {"bound_months": 0}, True),
        (bound(LEA, days=365), {}, False),
        (bound(LEA, days=364), {}, True),
        (bound(LEA, owner_archived_at=ORDERED), {"archived_influencers": ArchivedInfluencers.STOP}, False),
        (bound(LEA, campaign_ends_at=ORDERED - timedelta(days=50)), {}, False),
        (bound(LEA, campaign_ends_at=ORDERED - timedelta(days=30)), {}, True),
    ],
)
def test_a_binding_ends(touch: Touch, rules: dict[str, Any], expected: bool) -> None:
    decision = decided(touch, policies=Policies(dataclasses.replace(FOLLOWING_ALL, **rules)))
    assert bool(decision.credits) is expected


@pytest.mark.parametrize(
    ("moment", "months", "expected"),
    [
        ((2026, 1, 31), 1, (2026, 2, 28)),
        ((2027, 12, 31), 2, (2028, 2, 29)),
        ((2026, 11, 22), 12, (2027, 11, 22)),
        ((2026, 12, 1), 1, (2027, 1, 1)),
        ((2026, 11, 30), 1, (2026, 12, 30)),
    ],
)
def test_months_are_those_of_the_calendar(moment: tuple[int, ...], months: int, expected: tuple[int, ...]) -> None:
    assert months_after(datetime(*moment, 9, tzinfo=UTC), months) == datetime(*expected, 9, tzinfo=UTC)  # type: ignore[misc]


def test_bindings_keep_the_proportions_of_the_first_order_whatever_falls_away() -> None:
    shares = {uid(number): Fraction(number, 10) for number in (2, 3, 5)}
    touches = [bound(owner, share=share) for owner, share in shares.items()]
    whole = decided(*touches, policies=FOLLOWING)
    assert {credit.touch.influencer_id: credit.weight for credit in whole.credits} == shares
    part = decided(*touches[:2], bound(uid(5), share=Fraction(1, 2), nth=2_000), policies=Policies(
        dataclasses.replace(FOLLOWING_ALL, bound_orders=1_000)
    ))  # fmt: skip
    assert [credit.weight for credit in part.credits] == [Fraction(2, 5), Fraction(3, 5)]
    assert sum(credit.net_minor or 0 for credit in part.credits) == 10_000


@given(
    st.lists(
        st.one_of(
            st.builds(lambda owner, share: bound(uid(owner), share=Fraction(share, 7)), st.integers(1, 4), st.integers(1, 6)),
            st.builds(lambda owner, days: click(uid(owner), days=days, method=Method.CUSTOMER), st.integers(1, 4), st.integers(1, 29)),
            st.builds(lambda owner, rank: click(uid(owner), rank=rank), st.integers(1, 4), st.sampled_from([Rank.NUMBER, Rank.PROOF])),
        ),
        min_size=1,
        max_size=6,
        unique_by=lambda touch: (touch.method, touch.signal),
    ),
    st.integers(-5_000, 10_000),
    st.randoms(),
)  # fmt: skip
def test_whoever_follows_a_customer_gets_the_whole_order_and_no_unsigned_touch_changes_it(
    touches: list[Touch], net: int, rng: random.Random
) -> None:
    decision = decided(*touches, policies=FOLLOWING, net=net)
    assert sum(credit.weight for credit in decision.credits) == 1
    assert sum(credit.net_minor or 0 for credit in decision.credits) == net
    assert decided(*rng.sample(touches, len(touches)), policies=FOLLOWING, net=net) == decision
    sure = [touch for touch in touches if touch.rank is Rank.TRUSTED]
    if sure:
        assert decided(*sure, policies=FOLLOWING, net=net).credits == decision.credits


# ── Policies ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_window_is_that_of_the_click_s_own_campaign() -> None:
    short = Policies(Policy(), {LEA: Policy(version=4, click_window_days=7)})
    assert winners(decided(click(LEA, days=8), click(MAX, days=9), policies=short)) == [(Method.CLICK, MAX)]


def test_the_campaign_s_policy_governs_when_it_is_alone() -> None:
    policies = Policies(Policy(version=1), {LEA: Policy(version=4, model="first")})
    alone = decided(click(LEA, days=2), click(LEA, days=1), policies=policies)
    assert (alone.model, alone.policy_version) == ("first", 4)
    both = decided(click(LEA, days=2), click(MAX, days=1), policies=policies)
    assert (both.model, both.policy_version) == ("last", 1)


@pytest.mark.parametrize(
    "rules",
    [
        {"self_referral": "ignore"}, {"self_referral": True}, {"archived_influencers": "pause"},
        {"hold_days": -1}, {"hold_days": 3_651}, {"hold_days": True}, {"hold_days": 1.5},
        {"model": "magic"}, {"model": None}, {"click_window_days": -1}, {"click_window_days": 366}, {"click_window_days": True},
        {"click_window_days": "30"}, {"precedence": []}, {"precedence": ["code", "code"]}, {"precedence": ["luck"]}, {"precedence": "code"},
    ],
)  # fmt: skip
def test_rules_that_make_no_policy_are_refused_by_name(rules: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(rules))):
        read_policy(rules)


def test_rules_fill_in_what_they_leave_out() -> None:
    assert read_policy({}) == Policy()
    rules = {"model": "linear", "precedence": ["click"], "from_a_later_release": 1}
    assert read_policy(rules, 3) == Policy(3, "linear", 30, (Method.CLICK,))
    assert Policy() == Policy(0, "last", 30, (Method.CODE, Method.CLICK, Method.VISITOR), 30)
    edges = {"click_window_days": 365, "hold_days": 3_650, "precedence": ("visitor", "code")}
    assert read_policy(edges) == Policy(0, "last", 365, (Method.VISITOR, Method.CODE), 3_650)
    strict = read_policy({"self_referral": "withhold", "archived_influencers": "stop"})
    assert (strict.self_referral, strict.archived_influencers) == (SelfReferral.WITHHOLD, ArchivedInfluencers.STOP)
    assert read_policy({"click_window_days": 0, "hold_days": 0}) == Policy(click_window_days=0, hold_days=0)


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ({"model": "magic"}, "model: one of last, first, linear, position"),
        ({"click_window_days": -1}, "click_window_days: a whole number from 0 to 365"),
        ({"precedence": ["luck"]}, "precedence: a list of code, click, visitor, customer, bound, the strongest first"),
        ({"precedence": ["code", "code"]}, "precedence: names a method twice"),
        ({"hold_days": -1}, "hold_days: a whole number from 0 to 3650"),
        ({"precedence": ["bound", "code"]}, "precedence: bound stands last"),
        ({"bound_months": 121}, "bound_months: a whole number from 0 to 120"),
        ({"bound_orders": -1}, "bound_orders: a whole number from 0 to 1000"),
        ({"self_referral": "no"}, "self_referral: one of flag, withhold"),
        ({"archived_influencers": "no"}, "archived_influencers: one of earn, stop"),
    ],
)
def test_a_refused_rule_says_what_would_be_right(rules: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}$"):
        read_policy(rules)


# ── Clicks that have not arrived ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("others", "policies"),
    [
        ([], DEFAULTS),
        ([click(LEA, days=2)], DEFAULTS),
        ([click(LEA, method=Method.VISITOR)], DEFAULTS),
        ([code(LEA, policy=CreditPolicy.IF_INVOLVED)], DEFAULTS),
        ([code(LEA, policy=CreditPolicy.IF_WINNER), click(LEA, days=2)], DEFAULTS),
        ([code(LEA)], Policies(Policy(precedence=(Method.CLICK, Method.CODE)))),
        ([click(LEA, days=0.5)], Policies(Policy(model="linear"))),
    ],
)
def test_an_unknown_click_is_waited_for_while_it_could_change_the_outcome(
    others: list[Touch], policies: Policies
) -> None:
    decision = decided(*others, unknown_click(), policies=policies)
    assert (decision.verdict, decision.reason) == (AttributionStatus.PENDING_CLICK, Reason.WAITING_FOR_CLICK)
    assert decision.credits == decided(*others, policies=policies).credits


@pytest.mark.parametrize(
    ("others", "policies"),
    [
        ([code(LEA)], DEFAULTS),
        ([click(LEA, days=0.5)], DEFAULTS),
        ([click(LEA, days=2)], Policies(Policy(model="first"))),
        ([code(LEA, policy=CreditPolicy.NEVER)], Policies(Policy(precedence=(Method.CODE,)))),
    ],
)
def test_an_unknown_click_that_could_change_nothing_is_not_waited_for(others: list[Touch], policies: Policies) -> None:
    assert decided(*others, unknown_click(), policies=policies).verdict is not AttributionStatus.PENDING_CLICK


def test_only_a_click_that_the_order_names_is_waited_for() -> None:
    seen = ids.floor_at(ORDERED - timedelta(days=1))
    for touch in (Touch(Method.VISITOR, str(seen), "", seen), Touch(Method.CLICK, "nonsense"), code(None)):
        assert decided(touch).verdict is AttributionStatus.UNATTRIBUTED
    # Minted within the tolerance after the order, it still could win.
    late = LATE_CLICK_MAX / timedelta(days=1)
    assert decided(unknown_click(days=-late)).verdict is AttributionStatus.PENDING_CLICK
    assert decided(unknown_click(days=-late - 1 / 86_400)).verdict is AttributionStatus.UNATTRIBUTED
    assert decided(unknown_click(days=-1), unknown_click()).verdict is AttributionStatus.PENDING_CLICK
    assert (timedelta(minutes=5), timedelta(days=7)) == (LATE_CLICK_MAX, PENDING_CLICK_MAX)


def test_a_click_that_only_its_late_arrival_by_the_code_s_owner_would_matter_for_is_waited_for() -> None:
    involved = code(LEA, policy=CreditPolicy.IF_INVOLVED)
    first = Policies(Policy(model="first"))
    assert (
        decided(involved, click(MAX, days=2), unknown_click(), policies=first).verdict
        is AttributionStatus.PENDING_CLICK
    )


def test_the_wait_ends_seven_days_after_the_order() -> None:
    assert decided(unknown_click(), after=PENDING_CLICK_MAX - SECOND).verdict is AttributionStatus.PENDING_CLICK
    over = decided(unknown_click(), after=PENDING_CLICK_MAX)
    assert (over.verdict, over.reason) == (AttributionStatus.UNATTRIBUTED, Reason.UNKNOWN_CLICK)


def test_a_click_made_after_the_order_is_not_waited_for() -> None:
    assert decided(unknown_click(days=-1)).verdict is AttributionStatus.UNATTRIBUTED
