"""Versions of tasks on disk: immutable, promoted and rolled back whole, safe from any crash.

No torch: what a registry does needs files and digests only.
"""

from pretune.registry.state import TaskState
from pretune.registry.store import Registry, is_registry
from pretune.registry.version import Version

__all__ = ["Registry", "TaskState", "Version", "is_registry"]
