"""The kinds of jobs. To add one, write a function that takes a `Run` (run.py) in a file of its own, and add its line here."""

from collections.abc import Mapping

from app.jobs.blotting import BLOT, blot_deliveries
from app.jobs.brand_deletion import delete_brand
from app.jobs.erasures import erase
from app.jobs.exports import export
from app.jobs.imports import run_import
from app.jobs.reconciliations import run_reconciliation
from app.jobs.replays import replay_deliveries
from app.jobs.run import Kind

KINDS: Mapping[str, Kind] = {
    "brand_deletion": Kind(delete_brand, "parts"),
    "import": Kind(run_import, "rows"),
    BLOT: Kind(blot_deliveries, "deliveries"),
    "replay": Kind(replay_deliveries, "deliveries"),
    "privacy_erase": Kind(erase, "parts"),
    "privacy_export": Kind(export, "parts", makes_file=True),
    "reconciliation": Kind(run_reconciliation, "orders"),
}
