"""What the public doors know without asking the database: routes, sources and hosts, in memory and on disk."""
