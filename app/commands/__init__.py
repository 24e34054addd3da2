"""The command line: one file a group of commands; most ask a running service over its REST API."""
