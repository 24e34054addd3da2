"""The trial of a source: click → code → order → refund through the real doors, in test mode, with what was expected and found at every step.

Everything is asked of this service's own address, never of one that a caller names, and as the outside would ask: a short link over HTTP, the
platform's own messages signed with the source's own secret. What becomes of them is then looked up as a report would.
"""
