"""How what a parser read in a message is shown: the `read` of a delivery, and of a sample that a mapping is tried on."""

from typing import Any

from app.domain.orders import Parsed, words


def show_report(said: Parsed) -> dict[str, Any]:
    """What it says, and nothing else: reports with their refunds, landings, or why there are none."""
    shown: dict[str, Any] = {"topic": said.topic}
    for name in ("ignored", "rejected", "detail"):
        if getattr(said, name) is not None:
            shown[name] = getattr(said, name)
    if said.reports:
        shown["reports"] = [
            {**words(report), "refunds": [words(each) for each in report.refunds]} for report in said.reports
        ]
    if said.landings:
        shown["landings"] = [
            {"visitor_id": each.visitor_id, "click_id": each.click_id, "seen_at": each.seen_at}
            for each in said.landings
        ]
    if said.notes:
        shown["notes"] = list(said.notes)
    return shown
