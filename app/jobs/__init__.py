"""Work that takes longer than a request: imports, reconciliations, replays."""
