"""The trial of a source: click → code → order → refund through the real doors, in test mode, with what was expected and found at every step.

Every request goes to this service's own address, never to one that a caller names, and is made as the outside would make it: a short link over HTTP, the
platform's own messages signed with the source's own secret. Their effect is then looked up as a report would.
"""
