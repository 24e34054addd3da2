"""Decisions and definitions, pure: no database, no network, no clock, no randomness."""
