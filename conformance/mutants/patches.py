"""Changes that make a bug, and take it back. A change that does not find what it changes fails: it would prove nothing.

`Rewrite` replaces a piece of a function's own source, so that whoever has imported the function has the bug as well.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib
import inspect
import textwrap
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any, Protocol

import msgspec

__all__ = ["Attribute", "Change", "Lua", "Rewrite", "Unapplied"]


class Unapplied(Exception):  # noqa: N818 - a state of the mutant, not of what it patches
    """A change no longer finds what it changes; the mutant has to be written anew."""


class Change(Protocol):
    """One change."""

    def applied(self) -> AbstractContextManager[None]:
        """Change something for the time of a `with` block.

        Raises:
            Unapplied: it is not there any more, or not what it was.
        """


@dataclass(frozen=True)
class Rewrite:
    """Replaces a piece of a function's source.

    Attributes:
        where: the function, such as `taskq.core.retry:backoff`.
        old: what stands there, exactly once.
        new: what stands there instead.
    """

    where: str
    old: str
    new: str

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Give the function another code."""
        function = _function(self.where)
        before = function.__code__
        function.__code__ = self._code(function)
        try:
            yield
        finally:
            function.__code__ = before

    def _code(self, function: FunctionType) -> CodeType:
        source = textwrap.dedent(inspect.getsource(function))
        if source.count(self.old) != 1:
            raise Unapplied(f"{self.where} holds {self.old!r} {source.count(self.old)} times instead of once; write it anew")
        tree = ast.parse(source.replace(self.old, self.new))
        definition = tree.body[0]
        assert isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef)
        definition.decorator_list = []
        # What it closes over has to be a variable of something around it.
        wrapper = ast.parse(f"def around({', '.join(function.__code__.co_freevars)}): pass").body[0]
        assert isinstance(wrapper, ast.FunctionDef)
        wrapper.body = [ast.Global([function.__name__]), definition]  # or what calls itself would close over itself
        code = _inside(
            compile(ast.fix_missing_locations(ast.Module([wrapper], [])), f"<mutant of {self.where}>", "exec"), function.__name__
        )
        if code.co_freevars != function.__code__.co_freevars:
            raise Unapplied(f"{self.where} closes over something else after the change; write it anew")
        return code


@dataclass(frozen=True)
class Attribute:
    """Replaces a value of a module or class.

    Attributes:
        where: what holds it and its name, such as `taskq.runtime.leases:_MARGIN`.
        new: returns what it is instead, given what it is.
    """

    where: str
    new: Callable[[Any], Any]

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Set the attribute, and set it back."""
        holder, name = _holder(self.where)
        before = inspect.getattr_static(holder, name)
        after = self.new(before)
        if after is before or (not callable(before) and after == before):
            raise Unapplied(f"{self.where} is {before!r} already; write the change anew")
        setattr(holder, name, after)
        try:
            yield
        finally:
            setattr(holder, name, before)


@dataclass(frozen=True)
class Lua:
    """Replaces a piece of one of Redis's scripts.

    Attributes:
        name: of the script.
        old: what stands there, exactly once.
        new: what stands there instead.
    """

    name: str
    old: str
    new: str

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Change the script where it is, for it is imported by name."""
        script = getattr(importlib.import_module("taskq.backends.redis.scripts"), self.name, None)
        text = script.text.decode() if script is not None else ""
        if text.count(self.old) != 1:
            raise Unapplied(f"the script {self.name} holds {self.old!r} {text.count(self.old)} times instead of once")
        assert script is not None
        before = (script.text, script.sha)
        changed = text.replace(self.old, self.new).encode()
        _set(script, changed, hashlib.sha1(changed, usedforsecurity=False).hexdigest().encode())
        try:
            yield
        finally:
            _set(script, *before)


def _set(script: Any, text: bytes, sha: bytes) -> None:
    msgspec.structs.force_setattr(script, "text", text)
    msgspec.structs.force_setattr(script, "sha", sha)


def _holder(where: str) -> tuple[Any, str]:
    module, _, path = where.partition(":")
    *parents, name = path.split(".")
    try:
        holder: Any = importlib.import_module(module)
        for parent in parents:
            holder = getattr(holder, parent)
        inspect.getattr_static(holder, name)
    except (ImportError, AttributeError) as error:
        raise Unapplied(f"{where} does not exist any more ({error}); write the mutant anew") from None
    return holder, name


def _function(where: str) -> FunctionType:
    holder, name = _holder(where)
    found: Any = inspect.getattr_static(holder, name)
    if isinstance(found, staticmethod | classmethod):
        found = found.__func__
    if isinstance(found, property):
        found = found.fget
    found = inspect.unwrap(found)
    if not isinstance(found, FunctionType):
        raise Unapplied(f"{where} is a {type(found).__name__}, which has no source to be rewritten")
    return found


def _inside(code: CodeType, name: str) -> CodeType:
    """Return the code of a function that is somewhere inside of another code."""
    inner = [each for each in code.co_consts if isinstance(each, CodeType)]
    for each in inner:
        if each.co_name == name:
            return each
    return _inside(next(each for each in inner if each.co_name == "around"), name)
