"""Which collaboration an order belongs to, and why: `decide(touches, conversion, policies) -> Decision`. Pure and replayable.

A touch is anything that may explain the order: a code typed at the checkout, a click the order names, a click of the visitor it names, and by
policy what the customer's earlier orders say. Each is judged on its own (window, dates, owner). Of the eligible ones only those of the highest
trust rank compete (trust.py): the strongest method among them takes the order, and the policy's model (policies.py) divides it among that method's
touches. Every touch is returned as a candidate with the reason it won or lost; nothing is dropped.
"""

from calendar import monthrange
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from itertools import product
from typing import NamedTuple
from uuid import UUID

import msgspec
from msgspec.structs import replace

from app.domain import ids, money
from app.domain.click_classes import EMBEDDED, OWN
from app.domain.policies import MODELS, WHOLE, ArchivedInfluencers, Method, Policies, Policy, SelfReferral
from app.domain.trust import Rank, Withheld

LATE_CLICK_MAX = timedelta(seconds=300)
"""Tolerance for a click that is younger than the order naming it: the clocks of two machines never agree."""
PENDING_CLICK_MAX = timedelta(days=7)
"""Longest wait for a click that the order names, after the order; the spool of a machine that was down is drained by then."""
VISITOR_CLICKS_MAX = 100
"""Clicks of one visitor that are looked at, newest first; a visitor with more is a machine."""
WEIGHT_BP = 10_000
LATE_CLICK, SELF_REFERRAL, EMBEDDED_CLICK, OWN_CLICK = "late_click", "self_referral", "embedded_click", "own_click"
FLAGS = (LATE_CLICK, SELF_REFERRAL, EMBEDDED_CLICK, OWN_CLICK)
"""What may be odd about the touches of an order."""
FLAGS_OF_CLASSES = {EMBEDDED: EMBEDDED_CLICK, OWN: OWN_CLICK}
"""Classes of clicks that lead to no order by themselves. The credit stays: an image or a frame may have been loaded by somebody who also came."""


class AttributionStatus(StrEnum):
    """Whether the order is attributed."""

    ATTRIBUTED = "attributed"
    UNATTRIBUTED = "unattributed"
    # The order names a click that has not arrived; until then it is decided without that click.
    PENDING_CLICK = "pending_click"


class Reason(StrEnum):
    """Why a candidate won or lost, and why an order was decided as it was. Stable words of the API."""

    # Candidates with credit, and attributed orders.
    CODE_OWNER = "code_owner"
    TOUCH_MODEL = "touch_model"
    CUSTOMER_BOUND = "customer_bound"
    # Eligible candidates that lost to a better one.
    OUTRANKED = "outranked"
    # Candidates that are not eligible.
    EXPIRED_WINDOW = "expired_window"
    CLICK_AFTER_ORDER = "click_after_order"
    CAMPAIGN_NOT_ACTIVE = "campaign_not_active"
    CODE_INACTIVE = "code_inactive"
    CODE_UNASSIGNED = "code_unassigned"
    UNKNOWN_CODE = "unknown_code"
    UNKNOWN_CLICK = "unknown_click"
    NEVER_CREDITED = "never_credited"
    OWNER_NOT_INVOLVED = "owner_not_involved"
    OWNER_NOT_WINNER = "owner_not_winner"
    METHOD_OFF = "method_off"
    BINDING_ENDED = "binding_ended"
    SELF_REFERRAL = "self_referral"
    INFLUENCER_ARCHIVED = "influencer_archived"
    UNSIGNED = "unsigned"
    OUTSIDE_PIXEL_WINDOW = Withheld.OUTSIDE_WINDOW
    CODES_LISTED = Withheld.CODES_LISTED
    PIXELS_OFF = Withheld.PIXELS_OFF
    TOO_MANY_CLAIMS = Withheld.TOO_MANY_CLAIMS
    # Orders only.
    NO_SIGNAL = "no_signal"
    WAITING_FOR_CLICK = "waiting_for_click"


class CreditPolicy(StrEnum):
    """What a redeemed code does for its owner."""

    ALWAYS = "always"
    IF_INVOLVED = "if_involved"
    IF_WINNER = "if_winner"
    NEVER = "never"


class Touch(msgspec.Struct, frozen=True, gc=False):
    """One code, click or binding with all that was found about it, as of the time of the order.

    id: of the click (even if it is unknown), of the code's assignment, or of the first order that binds. signal: the order's own text, the code
    folded, the click as a UUID; of a binding its collaboration.
    shown: a code as people write it; '' for clicks. alias: the shop system's name of the code, where the order used that.
    occurred_at: time of the click or of the first order; for a code the order's own; None for an unknown click.
    click_class: of a click, an index into CLICK_CLASSES. collaboration_id None: nobody owns it. Times of code and campaign are half-open, None is open.
    owner_keys: by which orders know the influencer as a customer; owner_archived_at: since when the influencer is in the archive.
    rank: of the surest report that names it; withheld: why it is never used, or None.
    share: of a binding, what part of the first order the collaboration had; nth: the place of this order among the later ones, from 1.
    """

    method: Method
    signal: str
    shown: str = ""
    id: UUID | None = None
    occurred_at: datetime | None = None
    collaboration_id: UUID | None = None
    campaign_id: UUID | None = None
    influencer_id: UUID | None = None
    link_id: UUID | None = None
    click_class: int | None = None
    code_id: UUID | None = None
    campaign_starts_at: datetime | None = None
    campaign_ends_at: datetime | None = None
    code_starts_at: datetime | None = None
    code_ends_at: datetime | None = None
    credit_policy: CreditPolicy = CreditPolicy.ALWAYS
    rank: Rank = Rank.TRUSTED
    withheld: Withheld | None = None
    alias: str | None = None
    owner_keys: Sequence[str] | None = None
    owner_archived_at: datetime | None = None
    share: Fraction | None = None
    nth: int | None = None


class OrderToDecide(msgspec.Struct, frozen=True, gc=False):
    """An order as `decide` needs it. as_of: the time of the decision, which only matters to the wait for a named click. customer_key: who bought."""

    occurred_at: datetime
    net_minor: int | None
    as_of: datetime
    customer_key: str | None = None


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """A touch and its outcome."""

    touch: Touch
    eligible: bool
    reason: Reason


class Credit(msgspec.Struct, frozen=True, gc=False):
    """A share of the order. touch: what it is given for; a code has the link that led to it.

    weight is exact. Over the credits of an order, weight_bp sums to 10,000 and net_minor to its net.
    """

    touch: Touch
    weight: Fraction
    weight_bp: int
    net_minor: int | None


class Decision(msgspec.Struct, frozen=True):
    """Who gets the order and why; nobody without credits.

    flags, of FLAGS: `late_click`, a named click is younger than the order by more than LATE_CLICK_MAX; `self_referral`, an influencer bought it, and gets
    it or would get it if the policy did not withhold it; `embedded_click` and `own_click`, a click that it names, or that gets it, is of that class.
    """

    verdict: AttributionStatus
    method: Method | None
    model: str
    policy_version: int
    reason: Reason
    credits: tuple[Credit, ...]
    candidates: tuple[Candidate, ...]
    flags: frozenset[str] = frozenset()


# ── Deciding ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def decide(touches: Sequence[Touch], conversion: OrderToDecide, policies: Policies) -> Decision:
    """Who gets an order. touches: codes in the order of the cart, clicks in any order; may be empty.

    Of the eligible touches only those of the highest rank compete; where none of them gets the order, those of the next. The strongest method of the
    governing policy takes it: the first code in the cart gets all of it; clicks share it as the model says, oldest first, ties by id. A code whose
    policy withholds the credit, or that belongs to nobody, never blocks a click.
    An unknown click makes the verdict `pending_click` only while it could still change who gets the order, and for PENDING_CLICK_MAX at most.
    """
    judged = [(touch, _fault(touch, conversion, policies)) for touch in touches]
    outcome = _award(judged, policies)
    policy = outcome.policy
    pending = _could_change(judged, outcome, conversion, policies)
    shares = _share(outcome, conversion.net_minor)
    candidates = _candidates(judged, outcome, policy)
    method = shares[0].touch.method if shares else None
    if pending:
        verdict, reason = AttributionStatus.PENDING_CLICK, Reason.WAITING_FOR_CLICK
    elif method is not None:
        verdict, reason = AttributionStatus.ATTRIBUTED, _won(method)
    else:
        verdict, reason = AttributionStatus.UNATTRIBUTED, candidates[0].reason if candidates else Reason.NO_SIGNAL
    return Decision(
        verdict, method, policy.model, policy.version, reason, shares, candidates, _flags(judged, shares, conversion)
    )


Judged = Sequence[tuple[Touch, Reason | None]]
Winners = tuple[tuple[Touch, Fraction], ...]


def _flags(judged: Judged, shares: Sequence[Credit], conversion: OrderToDecide) -> frozenset[str]:
    """What is odd about the touches of an order."""
    flags = set()
    if any(touch.method is Method.CLICK and fault is Reason.CLICK_AFTER_ORDER for touch, fault in judged):
        flags.add(LATE_CLICK)
    if any(_is_buyers(share.touch, conversion) for share in shares) or any(
        fault is Reason.SELF_REFERRAL for _, fault in judged
    ):
        flags.add(SELF_REFERRAL)
    named = [touch for touch, _ in judged if touch.method is Method.CLICK and touch.withheld is None]
    flags.update(
        FLAGS_OF_CLASSES[touch.click_class]
        for touch in (*named, *(share.touch for share in shares))
        if touch.click_class in FLAGS_OF_CLASSES
    )
    return frozenset(flags)


class _Outcome(NamedTuple):
    winners: Winners
    # The policy that governs the rank of the winners; where nobody wins, the highest rank that has an eligible touch.
    policy: Policy
    # Eligible codes whose credit policy withholds the credit, with the reason.
    withheld: Mapping[str, Reason]


def _fault(touch: Touch, conversion: OrderToDecide, policies: Policies) -> Reason | None:
    """The reason why this touch on its own cannot explain the order, or None."""
    if touch.withheld is not None:
        return Reason(touch.withheld)
    if touch.method is Method.CODE:
        fault = _code_fault(touch, conversion)
    elif touch.method is Method.BOUND:
        fault = _binding_fault(touch, conversion, policies.of(touch.campaign_id))
    else:
        fault = _click_fault(touch, conversion, policies)
    if fault is not None:
        return fault
    # As of the touch: a campaign that is over still gets the orders of clicks made while it ran.
    if not _within(touch.occurred_at, touch.campaign_starts_at, touch.campaign_ends_at):
        return Reason.CAMPAIGN_NOT_ACTIVE
    return _owner_fault(touch, conversion, policies.of(touch.campaign_id))


def _owner_fault(touch: Touch, conversion: OrderToDecide, policy: Policy) -> Reason | None:
    """The reason why this policy gives nothing to the owner of the touch."""
    if policy.self_referral is SelfReferral.WITHHOLD and _is_buyers(touch, conversion):
        return Reason.SELF_REFERRAL
    # As of the touch, like the campaign's dates: a click from before the archive still counts.
    stops = policy.archived_influencers is ArchivedInfluencers.STOP
    moment = conversion.occurred_at if touch.method is Method.BOUND else touch.occurred_at
    if stops and not _within(moment, None, touch.owner_archived_at):
        return Reason.INFLUENCER_ARCHIVED
    return None


def _is_buyers(touch: Touch, conversion: OrderToDecide) -> bool:
    """Whether the influencer whose touch it is bought the order."""
    return touch.owner_keys is not None and conversion.customer_key in touch.owner_keys


def _code_fault(touch: Touch, conversion: OrderToDecide) -> Reason | None:
    if touch.code_id is None:
        return Reason.UNKNOWN_CODE
    if not _within(conversion.occurred_at, touch.code_starts_at, touch.code_ends_at):
        return Reason.CODE_INACTIVE
    if touch.collaboration_id is None:
        return Reason.CODE_UNASSIGNED
    if touch.credit_policy is CreditPolicy.NEVER:
        return Reason.NEVER_CREDITED
    return None


def _click_fault(touch: Touch, conversion: OrderToDecide, policies: Policies) -> Reason | None:
    occurred_at = touch.occurred_at
    if occurred_at is None or touch.collaboration_id is None:
        return Reason.UNKNOWN_CLICK
    # A click that the order names came before it, whatever the clocks say; for a visitor's other clicks that is not certain.
    tolerance = LATE_CLICK_MAX if touch.method is Method.CLICK else timedelta(0)
    if occurred_at > conversion.occurred_at + tolerance:
        return Reason.CLICK_AFTER_ORDER
    if conversion.occurred_at - occurred_at > timedelta(days=policies.of(touch.campaign_id).click_window_days):
        return Reason.EXPIRED_WINDOW
    return None


def _binding_fault(touch: Touch, conversion: OrderToDecide, policy: Policy) -> Reason | None:
    assert touch.occurred_at is not None
    assert touch.nth is not None
    is_late = policy.bound_months > 0 and conversion.occurred_at >= months_after(touch.occurred_at, policy.bound_months)
    return Reason.BINDING_ENDED if is_late or 0 < policy.bound_orders < touch.nth else None


def months_after(moment: datetime, months: int) -> datetime:
    """This moment so many calendar months later, in UTC; on the last day of a month that has no such day."""
    moment = moment.astimezone(UTC)
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    day = min(moment.day, monthrange(year, month + 1)[1])
    return moment.replace(year=year, month=month + 1, day=day)


def _within(moment: datetime | None, starts_at: datetime | None, ends_at: datetime | None) -> bool:
    assert moment is not None
    return (starts_at is None or starts_at <= moment) and (ends_at is None or moment < ends_at)


def _award(judged: Judged, policies: Policies) -> _Outcome:
    """The winners among the touches without a fault, and the withheld codes.

    Each rank is governed by the policy of its own touches: else a stranger's click could put another policy in force.
    """
    eligible = [touch for touch, fault in judged if fault is None]
    withheld: dict[str, Reason] = {}
    governing: Policy | None = None
    for rank in sorted({touch.rank for touch in eligible}, reverse=True):
        policy = policies.governing({touch.campaign_id for touch in eligible if touch.rank is rank})
        governing = governing or policy
        winners = _award_among(eligible, rank, policy, withheld)
        if winners:
            return _Outcome(winners, policy, withheld)
    return _Outcome((), governing or policies.brand, withheld)


def _award_among(eligible: Sequence[Touch], rank: Rank, policy: Policy, withheld: dict[str, Reason]) -> Winners:
    """The winners among the eligible touches of one rank; codes whose policy withholds the credit are added to `withheld`.

    Whether the owner of a code was involved is also shown by clicks that carry a proof: nobody can make these up.
    """
    clicks = [
        [touch for touch in eligible if touch.method is method and touch.rank >= min(rank, Rank.PROOF)]
        for method in policy.precedence
        if method not in (Method.CODE, Method.BOUND)
    ]
    involved = {touch.influencer_id for tier in clicks for touch in tier}
    tiers = [tier for tier in clicks if tier]
    winning = {touch.influencer_id for touch, _ in _by_model(tiers[0], policy)} if tiers else set()
    codes: list[Touch] = []
    for touch in eligible:
        if touch.method is not Method.CODE or touch.rank is not rank:
            continue
        if touch.credit_policy is CreditPolicy.IF_INVOLVED and touch.influencer_id not in involved:
            withheld[touch.signal] = Reason.OWNER_NOT_INVOLVED
        elif touch.credit_policy is CreditPolicy.IF_WINNER and winning != {touch.influencer_id}:
            withheld[touch.signal] = Reason.OWNER_NOT_WINNER
        else:
            codes.append(touch)
    for method in policy.precedence:
        if method is Method.CODE and codes:
            return ((_with_link(codes[0], eligible, policy), WHOLE),)
        tier = [touch for touch in eligible if touch.method is method and touch.rank is rank]
        if tier and method is Method.BOUND:
            return _as_first(tier)
        if tier and method is not Method.CODE:
            return _by_model(tier, policy)
    return ()


def _as_first(bindings: Sequence[Touch]) -> Winners:
    """The first order's shares; without those that are not eligible the others keep their proportions."""
    shares = sorted(((touch, touch.share or WHOLE) for touch in bindings), key=lambda each: each[0].signal)
    total = sum((share for _, share in shares), Fraction(0))
    return tuple((touch, share / total) for touch, share in shares)


def _with_link(code: Touch, eligible: Sequence[Touch], policy: Policy) -> Touch:
    """The code with the link of the click that led to it, if its own collaboration has an eligible one.

    The surest click counts, of these the strongest method, and of these the one to which the model gives most. A click that only an unsigned report
    names may say which link of the owner it was: it moves no money.
    """
    own = [
        touch
        for touch in eligible
        if touch.link_id is not None
        and touch.collaboration_id == code.collaboration_id
        and touch.method in policy.precedence
    ]
    if not own:
        return code

    def strength(touch: Touch) -> tuple[int, int]:
        return touch.rank, -policy.precedence.index(touch.method)

    strongest = max(map(strength, own))
    among = _by_model([touch for touch in own if strength(touch) == strongest], policy)
    click, _ = max(among, key=lambda item: (item[1], _when(item[0])))
    return replace(code, link_id=click.link_id)


def _by_model(touches: Sequence[Touch], policy: Policy) -> Winners:
    ordered = sorted(touches, key=_when)
    weights = MODELS[policy.model](len(ordered))
    assert sum(weights) == 1
    return tuple((touch, weight) for touch, weight in zip(ordered, weights, strict=True) if weight)


def _when(touch: Touch) -> tuple[datetime, UUID]:
    assert touch.occurred_at is not None
    assert touch.id is not None
    return touch.occurred_at, touch.id


def _share(outcome: _Outcome, net_minor: int | None) -> tuple[Credit, ...]:
    if not outcome.winners:
        return ()
    weights = [weight for _, weight in outcome.winners]
    points = money.split(WEIGHT_BP, weights)
    amounts = [None] * len(weights) if net_minor is None else money.split(net_minor, weights)
    return tuple(
        Credit(touch, weight, point, amount)
        for (touch, weight), point, amount in zip(outcome.winners, points, amounts, strict=True)
    )


def _won(method: Method) -> Reason:
    return {Method.CODE: Reason.CODE_OWNER, Method.BOUND: Reason.CUSTOMER_BOUND}.get(method, Reason.TOUCH_MODEL)


def _candidates(judged: Judged, outcome: _Outcome, policy: Policy) -> tuple[Candidate, ...]:
    """Every touch with its reason: methods by precedence, codes as in the cart, clicks newest first."""
    winners = {(touch.method, touch.signal) for touch, _ in outcome.winners}
    codes = [item for item in judged if item[0].method is Method.CODE]
    clicks = sorted(
        (item for item in judged if item[0].method is not Method.CODE),
        key=lambda item: (item[0].occurred_at or ids.EPOCH, item[0].signal),
        reverse=True,
    )
    rank = {method: place for place, method in enumerate(policy.precedence)}
    found = []
    for touch, fault in sorted([*codes, *clicks], key=lambda item: rank.get(item[0].method, len(rank))):
        if fault is not None:
            found.append(Candidate(touch, False, fault))
        elif (touch.method, touch.signal) in winners:
            found.append(Candidate(touch, True, _won(touch.method)))
        elif touch.method not in rank:
            found.append(Candidate(touch, False, Reason.METHOD_OFF))
        elif touch.method is Method.CODE and touch.signal in outcome.withheld:
            found.append(Candidate(touch, False, outcome.withheld[touch.signal]))
        elif outcome.winners and touch.rank < outcome.winners[0][0].rank:
            found.append(Candidate(touch, False, Reason.UNSIGNED))
        else:
            found.append(Candidate(touch, True, Reason.OUTRANKED))
    return tuple(found)


def _could_change(judged: Judged, outcome: _Outcome, conversion: OrderToDecide, policies: Policies) -> bool:
    """Whether the arrival of a click that the order names could give the order to someone else.

    Tried rather than derived: suppose the click arrives, from somebody new or from the owner of one of the codes, in another campaign or in one of
    those that the order has touches of, and decide again.
    """
    if conversion.as_of >= conversion.occurred_at + PENDING_CLICK_MAX:
        return False
    owners = {touch.influencer_id for touch, fault in judged if touch.method is Method.CODE and fault is None}
    campaigns = {touch.campaign_id for touch, fault in judged if fault is None}
    now = [(touch.method, touch.signal, weight) for touch, weight in outcome.winners]
    for touch, fault in judged:
        if fault is not Reason.UNKNOWN_CLICK or touch.method is not Method.CLICK or touch.id is None:
            continue
        clicked_at = ids.minted_at(touch.id)
        if clicked_at > conversion.occurred_at + LATE_CLICK_MAX:
            continue
        for owner, campaign in product((None, *owners), (None, *campaigns)):
            arrived = replace(touch, occurred_at=clicked_at, influencer_id=owner, campaign_id=campaign)
            tried = _award([*judged, (arrived, None)], policies)
            if [(each.method, each.signal, weight) for each, weight in tried.winners] != now:
                return True
    return False
