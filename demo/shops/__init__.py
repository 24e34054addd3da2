"""The shops of the brand, each with another system: the vendor's own messages, made from a cart and signed as the vendor signs.

Where the documented bodies beside these files come from, and under which licence: demo/simulator/documents/PROVENANCE.md.
"""
