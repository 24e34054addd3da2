"""Gathers everything that is wrong with a request before it is refused, so that one answer names all of it."""

from app.domain.ids import PREFIXES
from app.errors import Conflict, FieldError, Invalid, NotFound

EXTERNAL = "ext_"
"""Before an id of the caller's own making."""


def no_such(kind: str, shown: str) -> str:
    """Why nothing was found: `no campaign 'serum'`, and for what looks like no id of the kind at all, how its ids are written."""
    told = f"no {kind} {shown[:80]!r}"
    if kind not in PREFIXES or shown.startswith((f"{PREFIXES[kind]}_", EXTERNAL)):
        return told
    return f"{told}: ids begin with {PREFIXES[kind]}_, your own with {EXTERNAL}"


class FieldErrors:
    """What was found so far. `at(3)` names fields of the fourth row of a batch: `links.3.slug`."""

    def __init__(self, batch: str | None = None) -> None:
        self._batch = batch
        self.found: list[FieldError] = []
        self._kinds: set[type[Invalid | Conflict | NotFound]] = set()

    def _name(self, index: int, field: str) -> str:
        return field if self._batch is None else f"{self._batch}.{index}.{field}"

    def invalid(self, index: int, field: str, code: str, reason: str) -> None:
        """This value can never be right."""
        self._add(Invalid, index, field, code, reason)

    def conflict(self, index: int, field: str, code: str, reason: str) -> None:
        """This value is right, but another row stands in its way."""
        self._add(Conflict, index, field, code, reason)

    def missing(self, index: int, field: str, kind: str, shown: str) -> None:
        """This field refers to a row that the brand does not have."""
        self._add(NotFound, index, field, f"{kind}_not_found", no_such(kind, shown))

    def _add(self, kind: type[Invalid | Conflict | NotFound], index: int, field: str, code: str, reason: str) -> None:
        self._kinds.add(kind)
        self.found.append(FieldError(self._name(index, field), reason, code))

    def refuse(self) -> None:
        """Raises, if anything was found: 404 or 409 when everything found is of that kind, else 422. A batch is never 404: it exists."""
        if not self.found:
            return
        kind: type[Invalid | Conflict | NotFound] = Invalid
        if self._kinds == {Conflict} or (self._kinds == {NotFound} and self._batch is None):
            kind = self._kinds.pop()
        code = self.found[0].code if len(self.found) == 1 else None
        said = "; ".join(f"{error.field}: {error.reason}" for error in self.found[:3])
        more = f" and {len(self.found) - 3} more" if len(self.found) > 3 else ""
        raise kind(said + more, code=code, fields=tuple(self.found))
