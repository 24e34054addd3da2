"""Facts and decisions never change after they were made, and what is not stated of them is unknown."""

import dataclasses
import importlib
import inspect
from datetime import UTC, datetime
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints
from uuid import UUID

import msgspec
import pytest

import app.domain
from app.domain.attribution import CreditPolicy, Touch
from app.domain.csv_files import Refusal, Sheet
from app.domain.folding import Order
from app.domain.kpi import Metric
from app.domain.orders import Context, Customer, OrderLine, OrderReport, Parsed, RefundReport, Witness
from app.domain.policies import Method, Policies, Policy
from app.domain.reconciliation import Compared, Listed, Ours
from app.domain.refunds import RefundOutcome
from app.domain.signals import NO_SIGNALS
from app.domain.trust import Rank

MODULES = [
    importlib.import_module(f"app.domain.{path.stem}")
    for path in sorted(Path(app.domain.__path__[0]).glob("[a-z]*.py"))
]
CLASSES = [
    kind
    for module in MODULES
    for _, kind in inspect.getmembers(module, inspect.isclass)
    if kind.__module__ == module.__name__
]
RECORDS = [kind for kind in CLASSES if dataclasses.is_dataclass(kind)]
STRUCTS = [kind for kind in CLASSES if issubclass(kind, msgspec.Struct)]
SUMS = {"Reconciliation", "Waterfall", "_Node", "_RefundState"}
"""What adds up while it runs, or while it is made."""
ONE_AN_ORDER = {
    "Decision", "DemandedOf", "Order", "OrderColumns", "Parsed", "PersonalFields", "PrivacyDemand", "RefundOutcome", "Signals", "Sold", "TrustRules",
    "_Books",
}  # fmt: skip
"""Structs that hold collections, one an order: the garbage collector may look at these."""


@pytest.mark.parametrize("kind", [*RECORDS, *STRUCTS], ids=lambda kind: kind.__name__)
def test_what_is_made_once_never_changes_and_has_no_other_attributes(kind: Any) -> None:
    if kind in STRUCTS:
        assert kind.__struct_config__.frozen
    else:
        assert kind.__dataclass_params__.frozen is (kind.__name__ not in SUMS)
        assert "__slots__" in vars(kind)


def test_what_there_is_many_of_costs_the_garbage_collector_nothing() -> None:
    assert {kind.__name__ for kind in STRUCTS if kind.__struct_config__.gc} == ONE_AN_ORDER


NOW = datetime(2026, 11, 22, tzinfo=UTC)
REPORT = OrderReport("main", "sale", ("1",))


@pytest.mark.parametrize(
    ("made", "stated"),
    [
        (REPORT, {"shop": "main", "kind": "sale", "refs": ("1",), "customer": Customer()}),
        (RefundReport("r"), {"refund_id": "r", "kind": "refund"}),
        (Customer(), {}),
        (OrderLine("7"), {"id": "7", "quantity": 1}),
        (Witness(REPORT, 20, b"", NOW), {"report": REPORT, "trust": 20, "content_hash": b"", "received_at": NOW, "door": "", "platform": ""}),
        (Parsed(), {"topic": "", "external_id": ""}),
        (Context(NOW, "EUR", max), {"received_at": NOW, "currency": "EUR", "customer_key": max, "shop": "main", "click_param": "ariane"}),
        (Order(), {"status": "stub", "origin": "unknown", "signals": NO_SIGNALS}),
        (RefundOutcome(), {"flags": frozenset()}),
        (Touch(Method.CODE, "LEA"), {"method": "code", "signal": "LEA", "shown": "", "credit_policy": CreditPolicy.ALWAYS, "rank": Rank.TRUSTED}),
        (Policy(), {"model": "last", "click_window_days": 30, "precedence": ("code", "click", "visitor"), "hold_days": 30,
                    "self_referral": "flag", "archived_influencers": "earn", "bound_months": 12}),
        (Metric("a", "count", "b", "c"), {"name": "a", "unit": "count", "formula": "b", "source": "c", "above": "", "below": "", "nothing": ""}),
        (Compared("matched", "equal", None, None), {"status": "matched", "reason": "equal"}),
        (Policies(), {"brand": Policy()}),
        (Refusal("x", "y"), {"reason": "x", "detail": "y"}),
        (Sheet("csv"), {"format": "csv", "separator": ","}),
        (Listed(2, "1", "#1", "EUR", 5), {"number": 2, "ref": "1", "order_id": "#1", "currency": "EUR", "total_minor": 5}),
        (Ours(UUID(int=1), "1", "paid", True, "EUR", 5), {"id": UUID(int=1), "order_id": "1", "status": "paid", "test": 1, "currency": "EUR", "net_minor": 5}),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_is_not_stated_is_unknown_empty_or_no(made: Any, stated: dict[str, object]) -> None:
    names = (
        made.__struct_fields__ if isinstance(made, msgspec.Struct) else [each.name for each in dataclasses.fields(made)]
    )
    unknown: tuple[object, ...] = (None, 0, (), {})
    values = {name: getattr(made, name) for name in names}
    assert {name: value for name, value in values.items() if value not in unknown} == stated
    hints = get_type_hints(type(made))
    assert [name for name, value in values.items() if value is None and NoneType not in get_args(hints[name])] == []
