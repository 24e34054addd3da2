"""The REST API: the kernel that all resources share. The resources are in routes/."""
