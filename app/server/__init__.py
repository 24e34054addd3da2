"""The processes of the service and how they are put together."""
