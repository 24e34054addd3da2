"""Any checkout that signs its messages: its bodies as they are, or read through a mapping."""
