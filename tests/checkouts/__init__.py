"""Every checkout that can be connected, from outside: its messages as its documentation writes them, signed as it signs."""
