"""Postbacks: what affiliate networks, click trackers and shops' own servers say of an order in the parameters of a request."""
