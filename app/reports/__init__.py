"""Sums over facts."""
