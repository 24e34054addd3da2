"""Promo codes: one by one, and as a table."""
