"""The resources of the REST API: one file each, or one folder where a resource needs more."""
