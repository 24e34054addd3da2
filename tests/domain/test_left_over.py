"""Orders that their shop shrinks as it takes goods back: what came back was sold, and is taken off once."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.domain.folding import Order, fold
from app.domain.orders import (
    TRUST_SERVER,
    TRUST_WEBHOOK,
    Adjustment,
    OrderLine,
    OrderReport,
    Receipt,
    RefundReport,
    Witness,
    content_hash,
    encode_report,
)
from app.domain.statuses import StatusChange

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
PRICE = 1_000


def receipt(trust: int) -> Receipt:
    return Receipt(trust, "hook" if trust == TRUST_WEBHOOK else "api", "generic", NOON)


def version(number: int, trust: int = TRUST_WEBHOOK, net_minor: int | None = None, **units: int) -> Witness:
    """A version of the order with these units of each line, each unit for 10.00, and a fifth of that as tax."""
    lines = tuple(OrderLine(name, quantity, quantity * PRICE) for name, quantity in units.items())
    net = sum(units.values()) * PRICE if net_minor is None else net_minor
    report = OrderReport(
        "main", "sale", ("1",), version=number, currency="EUR", net_minor=net, tax_minor=net // 5, lines=lines
    )
    made = receipt(trust)
    return Witness(report, trust, content_hash(made, encode_report(report)), NOON, made.door, made.platform)


def taken(refund_id: str, **fields: Any) -> Adjustment:
    report = RefundReport(refund_id, **fields)
    made = receipt(TRUST_WEBHOOK)
    return Adjustment(report, made.trust, content_hash(made, encode_report(report)), NOON, made.door, made.platform)


def cancelled(**fields: Any) -> Adjustment:
    return taken("cancelled", kind="cancellation", **{"full": True, **fields})


def returned(refund_id: str, by_amount: bool = False, **units: int) -> Adjustment:
    """A refund of these units, worth what the order says of them or by its own amount."""
    lines = tuple(OrderLine(name, quantity) for name, quantity in units.items())
    amount = {"amount_minor": sum(units.values()) * PRICE} if by_amount else {"line_based": True}
    return taken(refund_id, lines=lines, **amount)


def worth(order: Order) -> tuple[int | None, int, tuple[str, ...]]:
    return order.net_minor, order.refunded_minor, order.flags


def test_units_of_one_id_on_several_lines_are_counted_together() -> None:
    lines = (OrderLine("a", 1, 1_000), OrderLine("b", 1, 1_000), OrderLine("a", 2, 2_000))
    told = [
        OrderReport("main", "sale", ("1",), version=number, currency="EUR", net_minor=net, lines=sold)
        for number, net, sold in ((1, 4_000, lines), (2, 3_000, (lines[0], lines[2])))
    ]
    made = receipt(TRUST_WEBHOOK)
    versions = [
        Witness(each, made.trust, content_hash(made, encode_report(each)), NOON, made.door, made.platform)
        for each in told
    ]
    assert worth(fold(versions, [returned("r", b=1)])) == (4_000, 1_000, ())


def test_a_cancelled_order_that_was_emptied_was_sold_and_is_taken_back_whole() -> None:
    sold = version(1, a=2, b=1)
    for emptied in (version(2), version(2, a=0, b=0), version(2, net_minor=0, a=2)):
        order = fold([emptied, sold], [cancelled()])
        assert worth(order) == (3_000, 3_000, ())
        assert order.tax_minor == 600
        assert {each.amounts for each in order.amount_checks} == {"used", "after_refunds"}
        # Refunds before it count as they are, gross ones of the total that was paid.
        assert worth(fold([sold, emptied], [cancelled(), taken("r", amount_minor=1_200, is_gross=True)])) == (
            3_000,
            3_000,
            (),
        )
        # Without a cancellation, or after its end, an order that holds nothing is worth nothing.
        assert worth(fold([sold, emptied], [])) == (0, 0, ())
        assert worth(fold([sold, emptied], [cancelled(), cancelled(full=False, amount_minor=0, version=1)]))[:2] == (
            0,
            0,
        )
    assert worth(fold([version(1)], [cancelled()])) == (0, 0, ())


def test_a_line_that_is_cut_and_refunded_is_taken_off_once() -> None:
    whole, cut = version(1, a=2, b=1), version(2, a=1, b=1)
    for by_amount in (False, True):
        assert worth(fold([whole, cut], [returned("r", by_amount, a=1)])) == (3_000, 1_000, ())
        # Gone without a refund: never sold. Refunded without a cut: as ever.
        assert worth(fold([whole, cut], [])) == (2_000, 0, ())
        assert worth(fold([whole], [returned("r", by_amount, a=1)])) == (3_000, 1_000, ())
    # The whole line, and then all of them.
    assert worth(fold([whole, version(2, b=1)], [returned("r", a=2)])) == (3_000, 2_000, ())
    assert worth(fold([whole, version(2)], [returned("r", a=2, b=1)])) == (3_000, 3_000, ())
    # A refund that failed brought nothing back.
    assert worth(fold([whole, cut], [taken("r", amount_minor=0, lines=(OrderLine("a"),))])) == (2_000, 0, ())


def test_only_what_refunds_name_came_back() -> None:
    whole = version(1, a=3, b=1)
    # One of two units that are missing was cut before it was paid: the version in between holds.
    assert worth(fold([whole, version(2, a=2, b=1), version(3, a=1, b=1)], [returned("r", a=1)])) == (3_000, 1_000, ())
    # Both came back, one after the other.
    both = [returned("r", a=1), returned("s", a=1)]
    assert worth(fold([whole, version(2, a=2, b=1), version(3, a=1, b=1)], both)) == (4_000, 2_000, ())
    # Something was added since: the newest version is what was sold.
    assert fold([whole, version(2, a=2, b=1, c=1)], [returned("r", a=1)]).net_minor == 4_000
    assert fold([whole, version(2, a=2, b=2)], [returned("r", a=1)]).net_minor == 4_000
    # Another source tells its own versions, and lines that nobody lists are not missing.
    assert fold([version(9, TRUST_SERVER, a=3, b=1), version(2, a=2, b=1)], [returned("r", a=1)]).net_minor == 3_000
    assert fold([whole, version(2, net_minor=3_500)], [returned("r", a=1)]).net_minor == 3_500


def test_what_a_locked_order_loses_to_a_refund_is_no_change_of_it() -> None:
    lock = [StatusChange("locked", NOON + timedelta(hours=1), "approved")]
    late = version(2, a=1)
    late = Witness(late.report, late.trust, late.content_hash, NOON + timedelta(hours=2), late.door, late.platform)
    order = fold([version(1, a=2), late], [returned("r", a=1)], changes=lock)
    assert worth(order) == (2_000, 1_000, ())


@given(st.data())
def test_cut_and_refunded_step_by_step_is_the_same_as_refunded_alone(data: st.DataObject) -> None:
    units = data.draw(st.dictionaries(st.sampled_from("abc"), st.integers(1, 4), min_size=1))
    versions, refunds, left = [version(1, **units)], [], dict(units)
    for number in range(data.draw(st.integers(1, 4))):
        name = data.draw(st.sampled_from(sorted(units)))
        back = data.draw(st.integers(0, left[name]))
        if back:
            left[name] -= back
            refunds.append(returned(f"r{number}", data.draw(st.booleans()), **{name: back}))
            kept = {each: count for each, count in left.items() if count or data.draw(st.booleans())}
            versions.append(version(number + 2, **kept))
    expected = worth(fold(versions[:1], refunds))
    assert worth(fold(data.draw(st.permutations(versions)), data.draw(st.permutations(refunds)))) == expected


def test_a_cancellation_that_its_sender_calls_unpaid_counts_like_any_other() -> None:
    report = OrderReport("main", "sale", ("1",), version=2, currency="EUR", net_minor=1_000, paid=True)
    made = receipt(TRUST_WEBHOOK)
    sold = Witness(report, made.trust, content_hash(made, encode_report(report)), NOON, made.door, made.platform)
    for refund_id in ("unpaid", "cancelled"):
        order = fold([sold], [taken(refund_id, kind="cancellation", full=True)])
        assert (order.status, worth(order)) == ("approved", (1_000, 1_000, ()))


def test_lines_without_the_discount_of_their_order_share_it() -> None:
    lines = (OrderLine("a", 2, 2_000), OrderLine("b", 1, 1_000))
    back = [returned("r", a=1), returned("s", b=1), returned("t", a=1)]
    made = receipt(TRUST_WEBHOOK)

    def sold(number: int, net: int, told: tuple[OrderLine, ...]) -> Witness:
        report = OrderReport("main", "sale", ("1",), version=number, currency="EUR", net_minor=net, lines=told)
        return Witness(report, made.trust, content_hash(made, encode_report(report)), NOON, made.door, made.platform)

    whole = fold([sold(1, 2_699, lines)], back)
    assert ([each.amount_minor for each in whole.effects], whole.flags) == ([900, 900, 899], ())
    # Of an order that was changed since, they say what they were worth.
    assert fold([sold(1, 3_000, lines), sold(2, 2_000, ())], back[:1]).refunded_minor == 1_000
