"""Who may say what about an order: how far each of its reports is believed (docs/trust.md). Pure, and independent of the order of arrival."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import IntEnum, StrEnum
from typing import NamedTuple

import msgspec

from app.domain import money
from app.domain.orders import TRUST_SIGNED_PIXEL, Witness, is_trusted


class Rank(IntEnum):
    """How surely a report is about the order and comes from somebody who knows. A signal of a lower rank never joins or outranks one of a higher."""

    OUTSIDE = 0
    """Kept as evidence, never used."""
    NUMBER = 1
    """Unsigned: it names the order's number near the time of the order; or nothing trusted is known of the order."""
    PROOF = 2
    """Unsigned, but it carries a name of the order that strangers cannot guess and a trusted report states too."""
    TRUSTED = 3
    """A verified webhook, a secret key, an import or a signed pixel."""


class PixelSignals(StrEnum):
    """Which pixels may name the code, click or visitor of an order."""

    NORMAL = "normal"
    SIGNED_ONLY = "signed_only"
    NEVER = "never"


class Withheld(StrEnum):
    """Why a signal is never used. Stable words of the API."""

    OUTSIDE_WINDOW = "outside_pixel_window"
    CODES_LISTED = "codes_listed"
    PIXELS_OFF = "pixels_off"
    TOO_MANY_CLAIMS = "too_many_claims"


PIXEL_WINDOW_MINUTES = 60
PIXEL_WINDOW_MINUTES_MAX = 7 * 24 * 60
PIXEL_CLAIMS_MAX = 20
PIXEL_AMOUNT_MAX_MAJOR = 2_000
"""Greatest amount of one order that a pixel is believed for, in euros or what is worth about as much."""
# Units that are worth about a euro, for currencies whose unit is worth less than a twentieth of one. An order of magnitude is enough.
UNITS_PER_EURO: Mapping[str, int] = {
    "ARS": 1_000, "BDT": 100, "CLP": 1_000, "COP": 4_000, "CRC": 500, "CZK": 25, "DZD": 150, "EGP": 50, "HUF": 400, "IDR": 15_000, "INR": 100,
    "IQD": 1_500, "ISK": 150, "JPY": 150, "KES": 150, "KRW": 1_500, "KZT": 500, "LBP": 100_000, "LKR": 300, "MXN": 20, "NGN": 1_500, "PHP": 60,
    "IRR": 1_000_000, "IRT": 100_000, "PKR": 300, "PYG": 8_000, "RSD": 120, "RUB": 100, "THB": 40, "TRY": 50, "TWD": 35, "UAH": 50,
    "UGX": 4_000, "UYU": 40, "UZS": 15_000, "VND": 25_000, "XAF": 700, "XOF": 700, "XPF": 120,
}  # fmt: skip


def pixel_amount_max_minor(currency: str, declared: money.Decimals = money.NONE_DECLARED) -> int:
    """The default of the greatest amount of one order that a pixel is believed for, in minor units of this currency."""
    return PIXEL_AMOUNT_MAX_MAJOR * UNITS_PER_EURO.get(currency, 1) * int(10 ** money.exponent(currency, declared))


class TrustRules(msgspec.Struct, frozen=True):
    """How far a brand believes unsigned pixels.

    pixel_window: how far from the time of an order a pixel may arrive that names only its number. currency: the brand's, and the one in which its
    own greatest amount of one order is stated (minor units; None: the default of the order's currency). claims_max: of how many customers one
    code, click or visitor may claim orders in a UTC day, by number alone. currencies: those that the brand has declared.
    """

    pixel_signals: PixelSignals = PixelSignals.NORMAL
    pixel_window: timedelta = timedelta(minutes=PIXEL_WINDOW_MINUTES)
    currency: str | None = None
    amount_max_minor: int | None = None
    claims_max: int = PIXEL_CLAIMS_MAX
    currencies: money.Decimals = msgspec.field(default_factory=dict)

    def is_too_much(self, amount_minor: int | None, currency: str | None) -> bool:
        """Whether a pixel alone is not believed for an order of this amount."""
        if currency is None or amount_minor is None:
            return False
        own = self.amount_max_minor if currency == self.currency else None
        return amount_minor > (pixel_amount_max_minor(currency, self.currencies) if own is None else own)


DEFAULT_RULES = TrustRules()


class Ranked(NamedTuple):
    """A report of an order and its rank; why its codes, clicks and visitor are not used, or None."""

    witness: Witness
    rank: Rank
    withheld: Withheld | None = None


def rank_reports(witnesses: Sequence[Witness], rules: TrustRules) -> list[Ranked]:
    """These reports of one order with their ranks; by rank, and in the order given within one."""
    trusted = [witness for witness in witnesses if is_trusted(witness.trust)]
    if len(trusted) == len(witnesses) and rules.pixel_signals is not PixelSignals.NEVER:
        return [Ranked(witness, Rank.TRUSTED) for witness in witnesses]
    proofs = frozenset(proof for witness in trusted for proof in witness.report.proofs)
    about = ordered_at(trusted) if trusted else None
    found = [_ranked(witness, proofs, about, rules) for witness in witnesses]
    found.sort(key=lambda each: -each.rank)
    return found


def _ranked(witness: Witness, proofs: frozenset[str], about: datetime | None, rules: TrustRules) -> Ranked:
    if is_trusted(witness.trust):
        off = witness.trust == TRUST_SIGNED_PIXEL and rules.pixel_signals is PixelSignals.NEVER
        return Ranked(witness, Rank.TRUSTED, Withheld.PIXELS_OFF if off else None)
    off_reason = None if rules.pixel_signals is PixelSignals.NORMAL else Withheld.PIXELS_OFF
    if about is None:
        return Ranked(witness, Rank.NUMBER, off_reason)
    if not proofs.isdisjoint((*witness.report.proofs, *witness.report.refs)):
        return Ranked(witness, Rank.PROOF, off_reason)
    if abs(witness.received_at - about) <= rules.pixel_window:
        return Ranked(witness, Rank.NUMBER, off_reason)
    return Ranked(witness, Rank.OUTSIDE, off_reason or Withheld.OUTSIDE_WINDOW)


def ordered_at(witnesses: Sequence[Witness]) -> datetime:
    """When the order took place: as the most trusted of these witnesses states it, but no later than the first receipt from one trusted as much.

    Where none states it, the first receipt. witnesses: at least one, the most trusted first.
    """
    stating = next((witness for witness in witnesses if witness.report.occurred_at is not None), None)
    if stating is None or stating.report.occurred_at is None:
        return min(witness.received_at for witness in witnesses).astimezone(UTC)
    received = min(witness.received_at for witness in witnesses if witness.trust >= stating.trust)
    return min(stating.report.occurred_at, received).astimezone(UTC)
