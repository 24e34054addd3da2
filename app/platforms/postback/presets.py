"""What each network calls our fields, a table each. To add a network, add a table: nothing else tells the networks apart.

Names are chosen by preset and never merged: `transaction_id` is the click at Everflow and TUNE, and the order nearly everywhere else.
tests/platforms/test_postback_presets.py checks that every table is complete and that no name in it has two meanings.
"""

from collections.abc import Mapping
from dataclasses import dataclass

FIELDS = (
    "click_id", "order_id", "amount", "total", "parts", "currency", "code", "event", "status", "visitor_id", "customer", "acquisition",
    "tax", "shipping", "refund_id", "occurred_at", "updated_at", "test",
)  # fmt: skip
"""The fields of a postback (docs/connect/postback.md). amount: before tax and shipping, after discount. total: what was paid.
parts: `GROUP:12.00|GROUP2:3.00`. acquisition: whether the customer is new."""

APPROVED, PENDING, REJECTED = "approved", "pending", "rejected"

Names = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Preset:
    """One network.

    names: parameter names (lower case; names are compared in any case) of each field; where a message has several of one field, the first counts.
    template: what to paste, in the network's names; braces hold our words for what the sender puts there (`token` is a secret of the source).
    demands_token: without a token its own documentation calls such a postback open to everybody, so a source without a secret is refused.
    weak_order_id: it counts by click and event where a message has no order id, and so do we; else such a message is rejected.
    """

    title: str
    names: Names
    template: str
    demands_token: bool = False
    weak_order_id: bool = False

    @property
    def token(self) -> str:
        """The parameter in which its senders put the token."""
        return next(part.removesuffix("={token}") for part in self.template.split("&") if part.endswith("={token}"))


# Our own words that mean nothing else to any of them, so that what a network has no parameter for can be added to its address by hand.
_OURS: Names = {
    **{name: (name,) for name in ("currency", "status", "visitor_id", "customer", "tax", "shipping")},
    **{name: (name,) for name in ("refund_id", "occurred_at", "updated_at", "test")},
    "acquisition": ("customer_is_new",),
}

STATUSES: Mapping[str, str] = {
    **dict.fromkeys(("approved", "accepted", "confirmed"), APPROVED),
    **dict.fromkeys(("pending", "hold", "on_hold"), PENDING),
    **dict.fromkeys(("rejected", "declined", "denied", "cancelled", "canceled"), REJECTED),
}
"""What networks call the three states of an order."""

EVENTS: Mapping[str, str] = dict.fromkeys(("purchase", "conversion", "0"), "sale")
"""Words and numbers for "the conversion itself", as opposed to a further event of the same click."""

DEFAULT = "ariane"
PRESETS: Mapping[str, Preset] = {
    "ariane": Preset(
        title="Ariane's own names",
        names={
            **_OURS,
            "click_id": ("click_id",),
            "order_id": ("order_id",),
            "amount": ("amount",),
            "total": ("total",),
            "code": ("code", "codes"),
            "event": ("event",),
        },
        template="click_id={click_id}&order_id={order_id}&amount={amount}&currency={currency}&code={code}&token={token}",
    ),
    # What a shop sends to trk.php. Its landing parameter is kwks2s, sent back as cible. argann, argmon, montant, nacur and altid stand in
    # shops' tags and not in its present public documentation.
    "kwanko": Preset(
        title="Kwanko",
        names={
            **_OURS,
            "click_id": ("cible", "kwks2s"),
            "order_id": ("argann", "order_id"),
            "amount": ("argmon", "amount", "montant"),
            "currency": ("nacur", "currency"),
            "customer": ("altid", "customer"),
            "code": ("code",),
            "event": ("event",),
        },
        template="cible={click_id}&argann={order_id}&argmon={amount}&nacur={currency}&code={code}&token={token}",
    ),
    # What a shop sends to sread.php. Its landing parameter is awc, sent back as cks; `amount` is the subtotal after discounts, before tax
    # and shipping, and `parts` is the same by commission group.
    "awin": Preset(
        title="Awin",
        names={
            **_OURS,
            "click_id": ("cks", "awc"),
            "order_id": ("ref", "orderreference"),
            "amount": ("amount",),
            "parts": ("parts",),
            "currency": ("cr", "currency"),
            "code": ("vc", "voucher"),
            "acquisition": ("customeracquisition", "customer_is_new"),
            "event": ("event",),
            "test": ("testmode", "istest", "test"),
        },
        template="cks={click_id}&ref={order_id}&amount={amount}&parts=DEFAULT:{amount}&cr={currency}&vc={code}&token={token}",
    ),
    # What an advertiser sends to Everflow. event_id is Everflow's number of the event (0: the conversion itself), adv_event_id the
    # advertiser's own.
    "everflow": Preset(
        title="Everflow",
        names={
            **_OURS,
            "click_id": ("transaction_id",),
            "order_id": ("order_id",),
            "amount": ("amount", "sale_amount"),
            "code": ("coupon_code",),
            "customer": ("email", "customer"),
            "event": ("event_id", "adv_event_id"),
        },
        template="transaction_id={click_id}&order_id={order_id}&amount={amount}&currency={currency}&coupon_code={code}"
        "&verification_token={token}",
        demands_token=True,
        weak_order_id=True,
    ),
    # What an advertiser sends to aff_lsr. adv_sub is where advertisers put their order id; conversion_unique_id is the key of TUNE's own
    # duplicate check.
    "tune": Preset(
        title="TUNE (HasOffers)",
        names={
            **_OURS,
            "click_id": ("transaction_id",),
            "order_id": ("order_id", "adv_sub", "conversion_unique_id"),
            "amount": ("amount", "sale_amount"),
            "code": ("promo_code",),
            "event": ("goal_ref", "goal_id"),
        },
        template="transaction_id={click_id}&adv_sub={order_id}&amount={amount}&currency={currency}&promo_code={code}&security_token={token}",
        demands_token=True,
        weak_order_id=True,
    ),
    # What a network sends to a Voluum tracking domain. Duplicates are recognised by (cid, txid) there; payout is what the receiver earns.
    "voluum": Preset(
        title="Voluum",
        names={
            **_OURS,
            "click_id": ("cid",),
            "order_id": ("txid",),
            "amount": ("payout",),
            "code": ("code",),
            "event": ("et",),
        },
        template="cid={click_id}&txid={order_id}&payout={amount}&currency={currency}&code={code}&token={token}",
        weak_order_id=True,
    ),
}


def preset_of(settings: Mapping[str, object]) -> Preset | None:
    """The preset that a source's settings name, Ariane's own by default; None for a name not listed."""
    return PRESETS.get(str(settings.get("preset") or DEFAULT))
