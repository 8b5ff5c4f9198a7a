"""Finds the user's app and its queues, and says in one sentence why it cannot."""

from __future__ import annotations

import importlib
import sys
import sysconfig
import traceback
from pathlib import Path

from taskq.app import App
from taskq.errors import ConfigError, TaskqError
from taskq.queue import Queue

__all__ = ["load", "queue_of", "source_folders"]


def load(target: str) -> App:
    """Import MODULE:APP and return the app.

    Raises:
        ConfigError: it cannot be imported, or is no App; what the module raised is its cause.
    """
    module_name, _, attribute = target.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        module = importlib.import_module(module_name)
    except TaskqError:
        raise
    except Exception as error:
        raise ConfigError(f"module {module_name!r} cannot be imported: {_reason(error)}") from error
    app = getattr(module, attribute or "app", None)
    if not isinstance(app, App):
        raise ConfigError(f"{module_name!r} has no taskq.App named {attribute or 'app'!r}; give MODULE:APP")
    return app


def queue_of(app: App, name: str) -> Queue:
    """Return a queue of an app.

    Raises:
        ConfigError: it has none of that name; the text lists those that it has.
    """
    app.consumer(name)
    return app.queues[name]


def _reason(error: Exception) -> str:
    """Return what an import raised, and where."""
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error}"  # names its place itself
    text = str(error) if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_machinery(frame.filename)]
    return f"{text} ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else text


def _is_machinery(filename: str) -> bool:
    return filename.startswith("<frozen importlib") or filename in (__file__, importlib.__file__)


def source_folders(error: BaseException | None = None) -> list[str]:
    """Return the folders of the sources that this process imported from outside of Python's own and installed ones.

    Args:
        error: why an import failed; the places on its way count too, for what failed is not among the imported.
    """
    files: list[str | None] = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    while error is not None:
        files += [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
        files += [error.filename] if isinstance(error, SyntaxError) else []
        error = error.__cause__
    installed = [Path(folder).resolve() for name, folder in sysconfig.get_paths().items() if name.endswith(("lib", "stdlib"))]
    folders = {folder.resolve() for folder in {Path(file).parent for file in files if file and file.endswith(".py")}}
    return sorted(
        str(folder) for folder in folders if folder.is_dir() and not any(folder.is_relative_to(path) for path in installed)
    )
