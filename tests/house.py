"""The rules of the house as functions from sources to complaints; `test_layers` applies them and shows that each can fail."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

LAYERS = (
    "__main__", "cli", "demo|supervisor", "__init__", "app", "consumer|queue", "runtime", "hooks", "backends", "task", "binding",
    "context", "core", "wire", "message", "options", "errors",
)  # fmt: skip
RANK = {name: len(LAYERS) - index for index, names in enumerate(LAYERS) for name in names.split("|")}
CLOCK = re.compile(
    r"\b(time\.(time|monotonic|perf_counter)(_ns)?\b|datetime\.(now|utcnow|today)\(|date\.today\(|random\.\w+\(|uuid\.uuid[14]\("
    r"|os\.urandom\(|secrets\.\w+\()"
)
IMPURE = {"asyncio", "time", "random", "os", "socket", "threading", "logging", "uuid", "subprocess", "secrets"}
ASSERTING = re.compile(r"\bassert\b|raises|warns|assert_|fail\(|fnmatch_lines")


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def budgets(path: str, source: str) -> list[str]:
    """Functions of at most 40 lines and 6 parameters, modules of at most 400 lines, all with a docstring."""
    tree = ast.parse(source)
    found = [] if ast.get_docstring(tree) else [f"{path}: no docstring"]
    if source.count("\n") > 400:
        found.append(f"{path}: more than 400 lines")
    for function in functions(tree):
        size = function.end_lineno - function.lineno + 1
        names = [a.arg for a in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)]
        count = len(names) - (names[:1] in (["self"], ["cls"]))
        if size > 40:
            found.append(f"{path}: {function.name} has {size} lines")
        if count > 6:
            found.append(f"{path}: {function.name} has {count} parameters")
    return found


def clock_reads(path: str, source: str) -> list[str]:
    """No time and no global randomness outside of runtime/clock.py."""
    if path.endswith("runtime/clock.py"):
        return []
    code = re.sub(r'""".*?"""', "", source, flags=re.DOTALL)
    return [f"{path}: {match.group(0)}" for match in CLOCK.finditer(code)]


def imports(source: str) -> list[str]:
    """Every module that a source imports, wherever it does; `if TYPE_CHECKING` counts too, for a reader follows it."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found


def impurities(path: str, source: str) -> list[str]:
    """Core and wire import nothing that does I/O, reads time or draws at random."""
    return [f"{path}: imports {name}" for name in imports(source) if name.split(".")[0] in IMPURE]


def module_name(path: str) -> str:
    name = path.removesuffix(".py").replace("/", ".")
    return name.removesuffix(".__init__")


def graph(sources: dict[str, str]) -> dict[str, set[str]]:
    """Which module of ours imports which."""
    modules = {module_name(path): source for path, source in sources.items()}
    return {name: {target for target in imports(source) if target in modules} - {name} for name, source in modules.items()}


def layer(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def upward(edges: dict[str, set[str]]) -> list[str]:
    """Imports point down only; modules of one layer may import each other unless they stand side by side."""
    found = []
    for module, targets in edges.items():
        for target in targets:
            if target == "taskq" or layer(module) == layer(target):
                continue  # importing a package's own root runs nothing new; cycles are found by themselves
            if RANK[layer(module)] <= RANK[layer(target)]:
                found.append(f"{module} imports {target}")
    return found


def cycles(edges: dict[str, set[str]]) -> list[str]:
    """No module imports itself by any way round; packages' own roots are left out where they only hold a docstring."""
    found, done = [], set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        if module in path:
            found.append(" -> ".join((*path[path.index(module) :], module)))
        elif module not in done:
            for target in sorted(edges.get(module, ())):
                visit(target, (*path, module))
            done.add(module)

    for module in sorted(edges):
        visit(module, ())
    return found


def depth(edges: dict[str, set[str]]) -> int:
    """The number of imports in the longest chain of layers below the app."""
    below: dict[str, set[str]] = {}
    for module, targets in edges.items():
        below.setdefault(layer(module), set()).update(layer(t) for t in targets if layer(t) != layer(module))

    def longest(name: str) -> int:
        return 1 + max((longest(t) for t in below.get(name, ()) if t in RANK and RANK[t] < RANK[name]), default=0)

    return longest("app") - 1


def test_habits(path: str, source: str) -> list[str]:
    """Each test has a docstring of one sentence, asserts something and does not sleep; in virtual time sleeping is free."""
    tree = ast.parse(source)
    virtual = path.startswith("tests/testing/") or path.endswith("_virtual.py")
    sleeps = [] if virtual else re.finditer(r"\b(?:time|asyncio)\.sleep\((?!0\))", source)
    found = [f"{path}: sleeps" for _ in sleeps]
    for function in functions(tree):
        if not function.name.startswith("test_"):
            continue
        text = (ast.get_docstring(function) or "").replace("\n", " ")
        if not text.endswith("."):
            found.append(f"{path}: {function.name} has no docstring that is a sentence")
        if not ASSERTING.search(ast.unparse(function).replace("def test_", "")):
            found.append(f"{path}: {function.name} asserts nothing")
    return found


test_habits.__test__ = False


def read(root: Path, folder: str) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text() for path in sorted((root / folder).rglob("*.py"))}
