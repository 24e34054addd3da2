"""From a folded order and its evidence to the rows that are written: its columns, its decision, its credits. Pure."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from operator import attrgetter
from typing import Any

import msgspec

from app.domain import attribution, money
from app.domain.attribution import Candidate, Decision, OrderToDecide, Touch
from app.domain.folding import AMBIGUOUS_NUMBER, DIFFERS_AFTER_LOCK, UNSIGNED, Order, OrderColumns
from app.domain.policies import MODELS, WHOLE, Method, Policies
from app.domain.statuses import COUNTED
from app.domain.trust import Rank
from app.orders.evidence import Evidence
from app.orders.locks import Root

OWNER = ("collaboration_id", "campaign_id", "influencer_id", "link_id", "code_id", "method")
CONVERSION = ("id", "shop", "kind", "created_at", "primary_ref", *OrderColumns.__struct_fields__, "locks_at")
KEPT = ("verdict", "method", "model", "policy_version", "reason", "credits", "candidates")
DECISION = ("conversion_id", *KEPT, "now")
NOW = ("verdict", "method", "model", "policy_version", "reason", "credits")
"""What is shown of the decision that would be made now about a locked order."""

_stored = attrgetter(*OrderColumns.__struct_fields__)
_json = msgspec.json.Encoder(enc_hook=str).encode


class StateRows(msgspec.Struct, frozen=True):
    """An order's rows. conversion, decision, credits: as JSON too, encoded once for the digest and for the database."""

    root: Root
    conversion: dict[str, Any]
    decision: dict[str, Any]
    encoded: tuple[bytes, bytes, bytes]
    digest: bytes
    changed: bool
    waits_until: datetime | None


def rows_of(root: Root, order: Order, evidence: Evidence, brand_currency: str, now: datetime) -> StateRows:
    """Decides an order and makes its rows. brand_currency: of credits, where the order states none. now: the moment of deciding."""
    assert order.occurred_at is not None
    decision = attribution.decide(
        evidence.touches,
        OrderToDecide(order.occurred_at, order.net_minor, now, order.customer_key),
        evidence.policies,
    )
    conversion = conversion_of(root, order, _locks_at(order, decision, evidence.policies))
    flags = {*conversion["flags"]} | decision.flags
    decided = _decided(decision)
    if order.decided is not None:
        decided = _as_locked(json.loads(order.decided), decided, order, decision.candidates)
        flags |= {DIFFERS_AFTER_LOCK} if decided["now"] else set()
    flags |= {UNSIGNED} if any(each["unsigned"] for each in decided["credits"]) else set()
    conversion["flags"] = sorted(flags)
    encoded = (
        _json(conversion),
        _json({"conversion_id": root.id, **decided}),
        _json(_credits(root, order, decided["credits"], order.currency or brand_currency)),
    )
    # The moment of deciding is left out: the same facts must give the same digest.
    digest = hashlib.sha256(b"".join(encoded)).digest()
    waits = order.decided is None and decision.verdict is attribution.AttributionStatus.PENDING_CLICK
    return StateRows(
        root=root,
        conversion=conversion,
        decision=decided,
        encoded=encoded,
        digest=digest,
        changed=digest != root.digest,
        waits_until=order.occurred_at + attribution.PENDING_CLICK_MAX if waits else None,
    )


def decision_to_keep(decision: Mapping[str, Any]) -> str:
    """A decision as a final status keeps it: JSON of its columns."""
    return _json({name: decision[name] for name in KEPT}).decode()


def _as_locked(
    kept: dict[str, Any], decided: dict[str, Any], order: Order, candidates: Sequence[Candidate]
) -> dict[str, Any]:
    """The decision as of the lock, with what would be decided now under `now` where that credits somebody else."""
    credits_ = kept["credits"]
    if any("weight" not in each for each in credits_):
        # Kept by a release before, which had no other models than these.
        weights = MODELS[kept["model"]](len(credits_)) if len(credits_) > 1 else [WHOLE]
        credits_ = [{**each, "weight": str(weight)} for each, weight in zip(credits_, weights, strict=True)]
    amounts: Sequence[int | None] = [None] * len(credits_)
    if order.net_minor is not None and credits_:
        amounts = money.split(order.net_minor, [Fraction(each["weight"]) for each in credits_])
    credits_ = [{**each, "net_minor": amount} for each, amount in zip(credits_, amounts, strict=True)]
    if any("unsigned" not in each for each in credits_):
        credits_ = [{"unsigned": _is_unsigned(each, order, candidates), **each} for each in credits_]
    differs = _shares(credits_) != _shares(decided["credits"])
    now = {name: decided[name] for name in NOW} if differs else None
    return {**kept, "credits": credits_, "now": now}


def _is_unsigned(share: Mapping[str, Any], order: Order, candidates: Sequence[Candidate]) -> bool:
    """Whether a share that a release before kept, which did not tell, rests on unsigned reports: by what is known today of its owner's touches."""
    owner = share["collaboration_id"], share["method"]
    ranks = {each.touch.rank for each in candidates if (str(each.touch.collaboration_id), each.touch.method) == owner}
    return Rank.TRUSTED not in ranks if ranks else not order.is_confirmed


def _shares(credits_: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    # The link that led to a code names nobody else.
    owner = tuple(name for name in OWNER if name != "link_id")
    return sorted(
        (*(str(each[name]) for name in (*owner, "weight")), str(each["code_id"] is None and each["link_id"]))
        for each in credits_
    )


def _locks_at(order: Order, decision: Decision, policies: Policies) -> datetime | None:
    """When an approved order will be locked: after the longest hold of the campaigns credited, or the brand's where none is."""
    if order.lockable_at is None or order.occurred_at is None:
        return None
    hold_days = policies.brand.hold_days
    if decision.credits:
        hold_days = max(policies.of(credit.touch.campaign_id).hold_days for credit in decision.credits)
    return max((order.held_since or order.occurred_at) + timedelta(days=hold_days), order.lockable_at)


def conversion_of(root: Root, order: Order, locks_at: datetime | None = None) -> dict[str, Any]:
    """The columns of `conversion` that follow from an order."""
    values = (root.id, root.shop, root.kind, root.created_at, root.primary_ref, *_stored(order), locks_at)
    flags = sorted({*order.flags, AMBIGUOUS_NUMBER}) if root.is_ambiguous else list(order.flags)
    return dict(zip(CONVERSION, values, strict=True)) | {"flags": flags}


def _owner(touch: Touch) -> dict[str, Any]:
    return {name: getattr(touch, name) for name in OWNER}


def _decided(decision: Decision) -> dict[str, Any]:
    return {
        "verdict": decision.verdict,
        "method": decision.method,
        "model": decision.model,
        "policy_version": decision.policy_version,
        "reason": decision.reason,
        "credits": [
            {
                **_owner(credit.touch),
                "weight": str(credit.weight),
                "weight_bp": credit.weight_bp,
                "net_minor": credit.net_minor,
                "unsigned": credit.touch.rank is not Rank.TRUSTED,
            }
            for credit in decision.credits
        ],
        "candidates": [_candidate(each) for each in decision.candidates],
        "now": None,
    }


def _candidate(candidate: Candidate) -> dict[str, Any]:
    touch = candidate.touch
    is_code = touch.method is Method.CODE
    is_bound = touch.method is Method.BOUND
    return {
        **_owner(touch),
        **({"bound_by": touch.id} if is_bound else {}),
        "code": touch.shown if is_code else None,
        "code_alias": touch.alias,
        "click_id": None if is_code or is_bound else touch.signal,
        "occurred_at": touch.occurred_at,
        "eligible": candidate.eligible,
        "reason": candidate.reason,
    }


def _credits(root: Root, order: Order, shares: Sequence[Mapping[str, Any]], currency: str) -> list[dict[str, Any]]:
    """The rows that reports add up: the order split over its shares, then each refund. An order that nobody gets has one share without an owner.

    A refund is split as the difference between what is left before and after it, so that an order refunded to nothing leaves nobody a cent.
    """
    owners = [{name: share[name] for name in OWNER} for share in shares] or [dict.fromkeys(OWNER)]
    # Reading a fraction takes longer than all the rest for an order with one share, as nearly all have.
    weights = [WHOLE if share["weight"] == "1" else Fraction(share["weight"]) for share in shares] or [WHOLE]
    points = [share["weight_bp"] for share in shares] or [attribution.WEIGHT_BP]
    unsigned = [share["unsigned"] for share in shares] or [False]
    counted = order.status in COUNTED and not order.test
    moves = [(order.net_minor or 0, order.occurred_at)]
    moves += [(-effect.amount_minor, effect.occurred_at) for effect in order.effects]
    left, held = 0, [0] * len(weights)
    rows = []
    for position, (moved, occurred_at) in enumerate(moves):
        left += moved
        after = money.split(left, weights)
        rows += [
            {
                "conversion_id": root.id,
                "position": position,
                "share": share,
                **owner,
                "weight_bp": point,
                "amount_minor": new - old,
                "currency": currency,
                "kind": root.kind,
                "occurred_at": occurred_at,
                "counted": counted,
                "unsigned": is_unsigned,
            }
            for share, (owner, point, is_unsigned, old, new) in enumerate(
                zip(owners, points, unsigned, held, after, strict=True)
            )
        ]
        held = after
    return rows
