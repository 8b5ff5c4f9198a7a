"""Time travel through one run: `debugger` steps, goes back and asks why; `prompt` is its command line."""

from taskq_testing.debug.debugger import Choice, Debugger, Journey, Situation

__all__ = ["Choice", "Debugger", "Journey", "Situation"]
