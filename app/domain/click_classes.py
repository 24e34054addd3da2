"""The classes of clicks. Only `human` is counted as clicks; docs/clicks.md says what each is."""

CLICK_CLASSES = ("human", "bot", "preview", "prefetch", "head", "test", "own", "embedded")
"""A click is stored with the index of its class. In no count: `test` (the trial of a source), `own` (the brand's own people) and `embedded`."""

HUMAN, BOT, PREVIEW, PREFETCH, HEAD, TEST, OWN, EMBEDDED = range(len(CLICK_CLASSES))
