"""How the tests are shared out among the processes of `make test`: dear files first, so that all processes end together; by room where a room shares
what is dear to start.

Weights are seconds of the processor, measured roughly; a file that is not named here is cheap. A wrong one costs time and breaks nothing.
"""

from typing import Any

from xdist.scheduler import LoadFileScheduling

SHARED = {
    "tests/browser/test_buying.py": "browser",
    "tests/browser/test_console.py": "browser",
    "tests/browser/test_gtm.py": "browser",
    "tests/browser/test_guides.py": "browser",
    "tests/browser/test_pixel_doc.py": "browser",
    "tests/browser/test_reference.py": "browser",
    "tests/browser/test_script.py": "browser",
    "tests/browser/test_shopify.py": "browser",
    "tests/api/test_clients.py": "whole",
    "tests/api/test_examples.py": "whole",
    "tests/api/test_tenants_and_scopes.py": "whole",
    "tests/faults/test_jobs.py": "whole",
    "tests/commands/test_deliveries.py": "whole",
    "tests/commands/test_keys.py": "whole",
    "tests/shops/test_medusa.py": "whole",
    "tests/shops/test_vendure.py": "whole",
    "tests/test_demo.py": "whole",
    "tests/test_docs.py": "whole",
    "tests/test_two_shops.py": "whole",
    "tests/tracking/test_contract.py": "whole",
}
"""Files that stay in one process: one Chromium with its service, and one service for those that leave it running."""
WEIGHTS = {
    "whole": 90,
    "browser": 75,
    "tests/faults/test_serve.py": 35,
    "tests/test_house.py": 34,
    "tests/faults/test_whole.py": 30,
    "tests/api/test_source_trials.py": 22,
    "tests/faults/test_once.py": 17,
    "tests/api/test_contract.py": 16,
    "tests/tracking/test_protocol.py": 13,
    "tests/faults/test_spool_kill.py": 12,
    "tests/faults/test_postgres.py": 12,
    "tests/server/test_background.py": 11,
    "tests/server/test_rollout.py": 11,
    "tests/commands/test_cli.py": 10,
    "tests/platforms/test_polar.py": 9,
    "tests/api/test_by_hand.py": 8,
    "tests/api/test_validation_messages.py": 8,
    "tests/spool/test_spool.py": 8,
    "tests/intake/test_every_checkout.py": 7,
    "tests/api/test_openapi.py": 7,
    "tests/orders/test_record_properties.py": 6,
    "tests/jobs/test_privacy.py": 6,
    "tests/api/test_imports.py": 6,
}


def share_of(node_id: str) -> str:
    """What is given to one process as a whole: the test's file, or the room it belongs to."""
    file = node_id.partition("::")[0]
    return SHARED.get(file, file)


def dearest_first(items: list[Any]) -> None:
    """Puts the tests into the order in which their shares are given out; within a share they keep theirs."""
    items.sort(key=lambda item: -WEIGHTS.get(share_of(item.nodeid), 0))


class ByShare(LoadFileScheduling):
    """Gives out whole shares, in the order of the collection."""

    def __init__(self, config: Any, log: Any = None) -> None:
        config.option.loadscopereorder = False  # by the number of tests: the longest file of all has a single one
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return share_of(nodeid)
