"""The vendors' messages, written and signed without any code of the service."""

from pathlib import Path

DOCUMENTS = Path(__file__).parent / "documents"
"""The vendors' documented messages; PROVENANCE.md says where each is from and under which licence."""
