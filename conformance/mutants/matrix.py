"""The kill matrix as text: every mutant and what killed it, the survivors, and the scenarios that killed nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from conformance.mutants.hunt import Verdict
from conformance.mutants.mutant import Mutant
from taskq_conformance.scenario import Scenario

__all__ = ["idle_of", "line", "matrix", "summary"]


def line(mutant: Mutant, verdict: Verdict | str) -> str:
    """Return what came of a mutant in one line."""
    about = f"{mutant.name} [{mutant.guarantee}{', ' + mutant.flaw if mutant.flaw else ''}; {mutant.target}]"
    if isinstance(verdict, str):
        return f"FAILED    {about}: {verdict}"
    if not verdict.killed:
        return f"SURVIVED  {about}: {verdict.tried} scenarios in {verdict.seconds:.1f} s"
    more = f" and {len(verdict.killers) - 1} more" if len(verdict.killers) > 1 else ""
    return f"killed    {about} by {verdict.killers[0]}{more}: scenario {verdict.tried}, {verdict.seconds:.2f} s"


def matrix(mutants: Sequence[Mutant], verdicts: dict[str, Verdict]) -> str:
    """Return the matrix as a Markdown table, in the order of the mutants."""
    rows = ["| mutant | breaks | flaw | target | killed by | scenarios run | seconds |", "|---|---|---|---|---|--:|--:|"]
    for mutant in mutants:
        verdict = verdicts.get(mutant.name)
        if verdict is None:
            killers, tried, seconds = "**not run**", "", ""
        else:
            killers = ", ".join(verdict.killers) or "**nothing**"
            tried, seconds = str(verdict.tried), f"{verdict.seconds:.2f}"
        rows.append(f"| {mutant.name} | {mutant.guarantee} | {mutant.flaw} | {mutant.target} | {killers} | {tried} | {seconds} |")
    return "\n".join(rows) + "\n"


def idle_of(scenarios: Iterable[Scenario], verdicts: Iterable[Verdict]) -> list[str]:
    """Return the scenarios that were run against mutants and killed none."""
    kills: Counter[str] = Counter()
    ran: set[str] = set()
    for verdict in verdicts:
        kills.update(verdict.killers)
        ran.update(verdict.ran)
    return [each.name for each in scenarios if each.name in ran and not kills[each.name]]


def summary(mutants: Sequence[Mutant], verdicts: dict[str, Verdict], idle: Sequence[str] | None, seconds: float) -> str:
    """Return the last lines of a hunt."""
    killed = [verdict for verdict in verdicts.values() if verdict.killed]
    flaws = len({each.flaw for each in mutants if each.flaw})
    lines = [f"{len(killed)} of {len(mutants)} mutants were killed in {seconds:.0f} s; {flaws} flaws of Go's are among them."]
    if killed:
        first = sorted(verdict.tried for verdict in killed)
        lines.append(f"Scenarios run until a kill: {first[len(first) // 2]} in the middle, {first[-1]} at most.")
    living = [each.name for each in mutants if each.name not in verdicts or not verdicts[each.name].killed]
    lines.append("Survivors: " + (", ".join(living) or "none") + ".")
    if idle is not None:
        lines.append("Scenarios that killed nothing: " + (", ".join(idle) or "none") + ".")
    return "\n".join(lines)
