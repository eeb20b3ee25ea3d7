"""The MIL reference evaluator: an engine that checks a Core ML package on any platform and never serves one."""

from .evaluate import Peak, Rounding
from .session import MilSession

__all__ = ["MilSession", "Peak", "Rounding"]
