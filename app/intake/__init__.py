"""From the spool to the database: clicks/ and deliveries/."""
