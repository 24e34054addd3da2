"""What the service asks of the outside: names and addresses. One guard for every fetch of an address that a user names."""
