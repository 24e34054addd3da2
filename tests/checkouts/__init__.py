"""Scenarios over the simulated checkouts: what each sends and when, samples of their messages, and damage to them."""
