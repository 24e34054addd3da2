"""The public doors: redirect, pixel, script and webhooks. They know the spool and the directory, and no table."""
