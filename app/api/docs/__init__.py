"""What people read of the service: the interactive reference at `/docs`, and the pages of docs/ at `/docs/guides`."""
