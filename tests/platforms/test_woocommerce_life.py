"""One WooCommerce order's life, folded: whatever arrives first, however often, and whatever never arrives, the same facts are the same order."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.domain.folding import Order, Witness, fold
from app.domain.orders import TRUST_WEBHOOK, Adjustment, Context, Receipt, content_hash, encode_report
from app.platforms.woocommerce.webhook import parse
from demo.simulator import woocommerce
from demo.simulator.carts import single_item
from demo.simulator.messages import Message

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
FIRST, SECOND = ({"id": 901, "reason": "", "total": "-12.00"}, {"id": 902, "reason": "", "total": "-6.00"})
CART = single_item(723, 2_500, shipping_minor=600, vat_percent=20)

Facts = tuple[list[Witness], list[Adjustment]]


def facts_of(message: Message, minute: float) -> Facts:
    """What one message, received in this minute, adds to the facts."""
    received_at = NOON + timedelta(minutes=minute)
    context = Context(received_at=received_at, currency="EUR", customer_key=lambda _, email: email)
    parsed = parse(message.body, {name.lower(): text for name, text in message.headers.items()}, context)
    [report] = parsed.reports
    receipt = Receipt(TRUST_WEBHOOK, "hook", "woocommerce", received_at)
    hashed = partial(content_hash, receipt)
    witness = Witness(report, TRUST_WEBHOOK, hashed(encode_report(report)), received_at)
    adjustments = [Adjustment(each, TRUST_WEBHOOK, hashed(encode_report(each)), received_at) for each in report.refunds]
    return ([] if report.stub else [witness]), adjustments


def order(event: str, minute: int, status: str, *refunds: dict[str, Any], modified: int | None = None) -> Facts:
    """25.00 of goods with 5.00 of tax and 6.00 of shipping."""
    modified_at = NOON + timedelta(minutes=minute if modified is None else modified)
    body = woocommerce.order_body(
        CART, created_at=NOON, modified_at=modified_at, status=status, refunds=list(refunds)[::-1]
    )
    paid = {"date_paid_gmt": None} if status == "pending" else {}
    return facts_of(woocommerce.message(event, body | {"id": 723} | paid), minute)


def deleted(minute: float) -> Facts:
    return facts_of(woocommerce.deleted(723), minute)


# Made and paid within one second; refunded twice; cancelled; put into the trash and taken out again; then once more, the restoration first.
LIFE = (
    order("created", 1, "pending", modified=0),
    order("updated", 1, "processing", modified=0),
    order("updated", 5, "processing", FIRST),
    order("updated", 6, "completed", FIRST, SECOND),
    order("updated", 7, "cancelled", FIRST, SECOND),
    deleted(8),
    order("restored", 9, "completed", FIRST, SECOND),
    order("restored", 12, "completed", FIRST, SECOND),
    deleted(12.5),
)


def folded(messages: list[Facts]) -> Order:
    return fold(
        [each for witnesses, _ in messages for each in witnesses],
        [each for _, adjustments in messages for each in adjustments],
    )


def taken(order: Order) -> dict[str, int]:
    return {each.refund_id: each.amount_minor for each in order.effects}


@given(st.permutations(LIFE), st.lists(st.sampled_from(LIFE), max_size=10))
def test_any_permutation_and_repetition_ends_in_one_state(messages: list[Facts], again: list[Facts]) -> None:
    found = folded([*messages, *again])
    assert found == folded(list(LIFE))
    assert (found.status, found.net_minor, found.refunded_minor, found.flags) == ("approved", 2_500, 1_500, ())
    # 12.00 of 30.00 are 10.00 of 25.00; 6.00 are 5.00.
    assert taken(found) == {"901": 1_000, "902": 500}
    assert found.occurred_at == NOON


@given(st.sets(st.sampled_from(range(len(LIFE)))), st.randoms(use_true_random=False))
def test_whatever_was_lost_the_rest_ends_in_one_state(arrived: set[int], random: Any) -> None:
    """WooCommerce never sends anything twice, so some of it may never come."""
    messages = [LIFE[index] for index in sorted(arrived)]
    shuffled = [*messages, *messages]
    random.shuffle(shuffled)
    assert folded(shuffled) == folded(messages)


def test_each_step_of_the_life_is_what_the_shop_shows() -> None:
    steps = [folded(list(LIFE[: count + 1])) for count in range(len(LIFE))]
    assert [(step.status, step.refunded_minor) for step in steps] == [
        ("pending", 0),
        ("approved", 0),
        ("approved", 1_000),
        ("approved", 1_500),
        ("approved", 2_500),
        ("approved", 2_500),
        ("approved", 1_500),
        ("approved", 1_500),
        ("approved", 1_500),
    ]
    assert all(step.net_minor == 2_500 and step.flags == () for step in steps)
    assert taken(steps[4]) == {"901": 1_000, "902": 500, "cancelled": 1_000}


def test_an_order_told_by_v1_then_v2_then_v3_of_the_api_is_approved_once() -> None:
    """A shop with three webhooks, or one whose version was changed; each message is the order as it then was."""

    def told(version: int, minute: int, status: str) -> Facts:
        modified_at = NOON + timedelta(minutes=minute)
        body = woocommerce.order_body(CART, created_at=NOON, modified_at=modified_at, status=status)
        shown = body | {"id": 723} | ({"date_paid_gmt": None} if status == "pending" else {})
        return facts_of(woocommerce.message("updated", woocommerce.in_version(shown, version)), minute)

    told_by = [told(1, 0, "pending"), told(2, 1, "processing"), told(3, 2, "completed")]
    for messages in (told_by, told_by[::-1], [*told_by, *told_by]):
        found = folded(messages)
        assert (found.status, found.net_minor, found.refunded_minor, found.flags) == ("approved", 2_500, 0, ())
        assert found.occurred_at == NOON
    assert folded(told_by[:1]).status == "pending"
    within_a_second = [told(version, 1, "processing") for version in (1, 2, 3)]
    assert (folded(within_a_second).status, folded(within_a_second).flags) == ("approved", ())


def test_a_wholly_refunded_order_has_nothing_left_and_no_flag() -> None:
    whole = {"id": 903, "reason": "Order fully refunded", "total": "-18.00"}
    refunded = order("updated", 10, "refunded", FIRST, SECOND, whole)
    found = folded([*LIFE[:4], refunded])
    assert (found.refunded_minor, found.flags) == (2_500, ())
    assert found == folded([refunded, *LIFE[:4]])


def test_a_refund_that_the_shop_deletes_is_gone_and_the_other_stays() -> None:
    """Since WooCommerce 11.2 an update tells of it: the refund is not in the list any more, and nothing else says so."""
    without = order("updated", 7, "completed", SECOND)
    found = folded([*LIFE[:4], without])
    assert (taken(found), found.flags) == ({"902": 500}, ())
    assert found == folded([without, *LIFE[:4][::-1], without])
    late = folded([without, LIFE[1]])
    assert taken(late) == {"902": 500}, "an older list, without any, does not make it gone"
    back = order("updated", 8, "completed", FIRST, SECOND)
    assert taken(folded([*LIFE[:4], without, back])) == {"901": 1_000, "902": 500}


def test_a_refund_made_within_the_second_of_the_last_change_is_there() -> None:
    before, after = (
        order("updated", minute, "processing", *refunds, modified=5) for minute, refunds in ((5, ()), (6, (FIRST,)))
    )
    assert taken(folded([before, after])) == taken(folded([after, before])) == {"901": 1_000}


def test_a_refund_keeps_its_day_however_often_its_order_is_updated() -> None:
    """An order's list gives refunds no date; a note added in May must not move March's refund to May."""
    may = order("updated", 90 * 24 * 60, "completed", FIRST, SECOND)
    dates = {each.refund_id: each.occurred_at for each in folded([may, *LIFE[:4]]).effects}
    assert dates == {"901": NOON + timedelta(minutes=5), "902": NOON + timedelta(minutes=6)}


def test_a_cancellation_has_the_day_of_the_last_time_it_was_cancelled() -> None:
    live = order("updated", 20, "processing")
    again, later = (order("updated", minute, "cancelled") for minute in (30, 40))
    [cancelled] = folded([later, *LIFE[:2], order("updated", 10, "cancelled"), again, live]).effects
    assert cancelled.occurred_at == NOON + timedelta(minutes=30)


def test_a_second_deletion_after_a_restoration_counts() -> None:
    assert folded([*LIFE, deleted(14)]).refunded_minor == 2_500


def test_a_deletion_that_its_restoration_overtook_takes_nothing() -> None:
    """Two messages may be under way at once; only what was deleted is restored."""
    live, restored = order("updated", 1, "processing", modified=0), order("restored", 9, "processing")
    trashed = deleted(9.8)
    assert folded([live, restored, trashed]).refunded_minor == 0
    assert folded([trashed, restored, live]).refunded_minor == 0
    assert folded([live, restored, deleted(10.2)]).refunded_minor == 2_500


def test_who_restores_an_order_and_throws_it_away_again_at_once_has_thrown_it_away() -> None:
    """Shops send what waited for their next round within a second. Here nothing was overtaken: the restoration has its own deletion before it."""
    first, again = (deleted(minute) for minute in (3, 9.01))
    restored, changed = (order(topic, 9, "processing") for topic in ("restored", "updated"))
    for messages in ([first, restored, changed, again], [again, changed, restored, first]):
        assert folded([LIFE[1], *messages]).refunded_minor == 2_500
    # Of two deletions one was overtaken; the other came after.
    assert folded([LIFE[1], restored, again, deleted(9.02)]).refunded_minor == 2_500


def test_an_order_whose_restoration_was_lost_lives_again_with_its_next_change() -> None:
    trashed, changed = deleted(8), order("updated", 20, "completed")
    found = folded([*LIFE[:2], trashed, changed])
    assert (found.refunded_minor, found.status) == (0, "approved")
    assert found == folded([changed, trashed, *LIFE[:2]])
    assert folded([*LIFE[:2], trashed, order("updated", 20, "trash")]).refunded_minor == 2_500


def test_a_change_of_a_shop_whose_clock_is_fast_or_a_late_message_does_not_outdo_a_deletion() -> None:
    fast = order("updated", 5, "processing", modified=12)
    late = order("updated", 12, "processing", modified=5)
    trashed = deleted(8)
    assert folded([fast, trashed]).refunded_minor == folded([trashed, late]).refunded_minor == 2_500
