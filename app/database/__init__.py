"""PostgreSQL: the schema, its migrations, the connections, and the embedded server."""
