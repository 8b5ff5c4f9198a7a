"""What is written beside a run's JSON: what stands in the matrix, in Markdown, in the badge; and the page in a real browser.

The page needs Chromium or Chrome, as that of the timeline does. A machine without one fails here, unless TASKQ_NO_BROWSER=1 says
that this is meant.
"""

import os
import xml.etree.ElementTree as ET

import pytest
from testing.browser import Browser, find_browser

from taskq_conformance.report import badge, document, markdown, write_beside
from taskq_conformance.report.cells import cell, tally, verdict
from taskq_conformance.results import Environment, Missing, Result, Run, Suspicion, Target, read, written

NASTY = "<img src=x onerror=window.pwned=1></script><script>window.pwned=2</script>"


def result(status, scenario="delay.a", guarantee="G12", **more):
    """Return one result; the reason is the status unless it is given."""
    told = {"reason": "" if status == "passed" else f"it {status}", "seconds": 0.25, "virtual": 7.0}
    return Result(scenario=scenario, guarantee=guarantee, target="t", status=status, **(told | more))


def target(name, *results, **more):
    """Return one target."""
    return Target(name=name, about=f"about {name}", results=results, seconds=1.5, capabilities={"delay": "Max(900)"}, **more)


GOOD = target("good", result("passed"), result("passed", "size.a", "G46"), versions={"redis": "7.2"})
BAD = target(
    "bad",
    result("failed", reason="found 1, promised 2", error="Traceback: here"),
    result("passed", "delay.b"),
    result("not run", "dedup.a", "G23", reason="not run: capability not claimed: dedup"),
    result("expected failure", "size.a", "G46", reason="known: #7"),
    underclaimed=(Suspicion(need="dedup", text="names seem to be remembered"),),
)
ABOUT = Environment(taskq="1.2", python="CPython 3.11", platform="Linux", at="2026-01-01T00:00:00+00:00")
RUN = Run(environment=ABOUT, seeds=3, targets=(GOOD, BAD), missing=(Missing(name="localstack", reason="no docker"),))


# -- what stands in it


@pytest.mark.parametrize(
    ("statuses", "state", "text"),
    [
        ([], "none", ""),
        (["not run"], "not run", "not run"),
        (["passed", "passed"], "passed", "✓ 2/2"),
        (["passed", "not run"], "passed", "✓ 1/1 of 2"),
        (["passed", "expected failure"], "expected failure", "~ 1/2"),
        (["passed", "failed", "expected failure", "not run"], "failed", "✗ 1/3 of 4"),
    ],
)
def test_a_cell_says_the_worst(statuses, state, text):
    """A cell is as bad as its worst result; what was not run never counts as passed."""
    found = cell([result(status, f"x.{number}") for number, status in enumerate(statuses)])
    assert (found.state, found.text) == (state, text)
    assert len(found.reasons) == sum(status != "passed" for status in statuses)


@pytest.mark.parametrize(
    ("targets", "state", "text"),
    [
        ((), "not run", "nothing was run"),
        ((target("a", result("not run")),), "not run", "nothing was run"),
        ((GOOD,), "passed", "2 passed on 1 backend"),
        ((GOOD, BAD), "failed", "1 of 5 failed"),
    ],
)
def test_a_verdict_is_honest(targets, state, text):
    """A run is good only if something passed and nothing failed."""
    assert verdict(Run(targets=targets)) == (state, text)
    assert text in badge(Run(targets=targets))


def test_a_tally_names_each_status():
    """A target's results are told by status, and none that there is not."""
    assert tally(BAD) == "1 passed, 1 failed, 1 expected failure, 1 not run"
    assert tally(GOOD) == "2 passed"


def test_the_table_holds_everything():
    """The Markdown has a row for each guarantee that was tried, the reasons of what failed, and what could not be run."""
    lines = markdown(RUN).splitlines()
    assert "| **G12** A delayed message is never early. | ✓ 1/1 | ✗ 1/2 |" in lines
    assert [line for line in lines if line.startswith("| **")][-1].endswith("| ✓ 1/1 | ~ 0/1 |")
    assert "- delay.a (G12): found 1, promised 2" in lines
    assert "- size.a (G46): known: #7" in lines
    assert "- names seem to be remembered" in lines
    assert "- localstack: no docker" in lines
    assert "taskq 1.2, CPython 3.11, Linux, 2026-01-01T00:00:00+00:00, 3 seeds" in lines


def test_text_of_others_is_no_markup():
    """Names and reasons can neither end a cell of the table nor become markup, there and in the badge."""
    run = Run(targets=(target("a|b", result("failed", reason=f"x | y {NASTY} [z](w)")),))
    text = markdown(run)
    assert "a\\|b" in text
    assert "x \\| y \\<img" in text
    assert "\\[z]" in text
    assert ET.fromstring(badge(run)).get("aria-label") == "taskq conformance: 1 of 1 failed"


def test_a_guarantee_of_another_version_is_shown():
    """A result of a guarantee that this version does not know has a row all the same."""
    run = Run(targets=(target("a", result("passed", guarantee="G999")),))
    assert "**G999**" in markdown(run)
    assert '"G999"' in document(run)


def test_all_files_are_written(tmp_path):
    """A folder that does not exist is made, and holds the page, the table and the badge beside the JSON."""
    folder = tmp_path / "deep" / "report"
    written(RUN, folder)
    write_beside(RUN, folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        "badge.svg",
        "conformance.html",
        "conformance.json",
        "conformance.md",
    ]
    assert read(folder / "conformance.json") == RUN
    assert ET.parse(folder / "badge.svg").getroot().tag.endswith("svg")


# -- the page


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """One browser for all tests."""
    path = find_browser()
    if path is None and os.environ.get("TASKQ_NO_BROWSER") == "1":
        pytest.skip("TASKQ_NO_BROWSER=1: this machine is meant to have no browser")
    assert path is not None, "no Chromium or Chrome was found; install one or set TASKQ_NO_BROWSER=1"
    browser = Browser(path, tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def show(browser, tmp_path):
    """Open the page of a run; afterwards it must have complained of nothing and asked the network for nothing."""

    def show(run, *, width=1400, height=900, scheme="light"):
        (tmp_path / "page.html").write_text(document(run), encoding="utf-8")
        browser.open(tmp_path / "page.html", width, height, scheme)
        return browser

    yield show
    assert browser.complaints() == []


def text(browser, selector):
    """Return what a person reads in an element."""
    return browser.run(f"document.querySelector({selector!r}).innerText")


def rows(browser):
    """Return what a person reads in each row of the table that is shown, cell by cell."""
    every = "[...document.querySelectorAll('#rows tr')].filter(each => each.checkVisibility())"
    return browser.run(f"{every}.map(each => [...each.children].map(cell => cell.innerText))")


def click(browser, selector):
    """Click on an element as a person does."""
    box = f"(({{left, top, width, height}}) => [left + width / 2, top + height / 2])(document.querySelector({selector!r})"
    browser.click(*browser.run(f"{box}.getBoundingClientRect())"))


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1400, 900), (420, 800)])
def test_the_page_is_drawn(show, width, height, scheme):
    """Large and narrow, light and dark, the matrix stands there, and nothing overflows the window to the side."""
    browser = show(RUN, width=width, height=height, scheme=scheme)
    found = rows(browser)
    assert found[0] == ["Delays"]
    assert found[1] == ["G12 A delayed message is never early.", "✓ 1/1", "✗ 1/2"]
    assert ["G23", "not run"] in [[row[0][:3], row[-1]] for row in found]
    assert text(browser, "#verdict") == "1 of 5 failed"
    assert "3 seeds" in text(browser, "#facts")
    assert "localstack: no docker" in text(browser, "#missing")
    assert browser.run("document.documentElement.scrollWidth") == width
    background = {"light": "rgb(246, 245, 241)", "dark": "rgb(18, 21, 26)"}[scheme]
    assert browser.run("getComputedStyle(document.body).backgroundColor") == background
    assert "found 1, promised 2" in browser.run("document.querySelector('td button.failed').title")


@pytest.mark.slow
def test_a_cell_tells_its_reasons(show):
    """A click on a cell tells each scenario, what failed first, with its reason, times and traceback; Escape closes it."""
    browser = show(RUN)
    assert not browser.run("document.querySelector('#panel').checkVisibility()")
    click(browser, "td button.failed")
    assert text(browser, "#what") == "G12 on bad: failed"
    told = browser.run("[...document.querySelectorAll('#details article')].map(each => each.innerText)")
    assert [each.split(" ")[0] for each in told] == ["delay.a", "delay.b"]
    assert "found 1, promised 2" in told[0]
    assert "250 ms, 7 s of virtual time" in told[0]
    assert browser.run("document.querySelector('#details pre').textContent") == "Traceback: here"
    browser.press("Escape")
    assert not browser.run("document.querySelector('#panel').checkVisibility()")


@pytest.mark.slow
def test_a_target_tells_what_it_claims(show):
    """A click on a backend's name tells its claims, versions and what it seems to do beyond them."""
    browser = show(RUN)
    click(browser, "th[data-target='0'] button")
    assert "redis\n7.2" in text(browser, "#details")
    click(browser, "th[data-target='1'] button")
    assert "Max(900)" in text(browser, "#details")
    assert "names seem to be remembered" in text(browser, "#details")


@pytest.mark.slow
def test_the_matrix_is_filtered(show):
    """What is typed, and the status that is chosen, leave those rows that fit, with their headings; none is said to be none."""
    browser = show(RUN)
    click(browser, "#search")
    browser.type("promised")
    assert [row[0][:3] for row in rows(browser)] == ["Del", "G12"]
    browser.run("document.querySelector('#states button:last-child').click()")
    assert rows(browser) == []
    assert browser.run("document.querySelector('#none').checkVisibility()")
    browser.run("part('search').value = ''; part('search').dispatchEvent(new Event('input'))")
    assert [row[0][:3] for row in rows(browser)] == ["Nam", "G23"]


@pytest.mark.slow
def test_the_theme_can_be_changed(show):
    """The toggle changes between light and dark; it begins as the system is set."""
    browser = show(RUN, scheme="dark")
    seen = []
    for _ in range(3):
        seen.append((text(browser, "#theme"), browser.run("getComputedStyle(document.body).backgroundColor")))
        click(browser, "#theme")
    assert [name for name, _ in seen] == ["Light", "Dark", "Light"]
    assert seen[0] == seen[2] != seen[1]


@pytest.mark.slow
def test_nothing_of_a_result_is_run_or_loaded(show):
    """Markup in names, reasons and tracebacks is shown as text, and does nothing."""
    run = Run(
        targets=(target(NASTY, result("failed", NASTY, reason=NASTY, error=NASTY)),), missing=(Missing(name=NASTY, reason=NASTY),)
    )
    browser = show(run)
    click(browser, "td button.failed")
    assert browser.run("window.pwned === undefined")
    assert browser.run("document.querySelectorAll('img').length") == 0
    assert NASTY in text(browser, "#details")
    assert NASTY in text(browser, "#missing")


@pytest.mark.slow
def test_the_policy_holds(browser, tmp_path):
    """A script that somebody adds to the page does not run, and a picture does not reach the network; complaints are seen."""
    added = "<script>window.pwned = 1</script><img src='http://127.0.0.1:9/x.png'></body>"
    (tmp_path / "changed.html").write_text(document(RUN).replace("</body>", added), encoding="utf-8")
    browser.open(tmp_path / "changed.html")
    assert browser.run("window.pwned === undefined")
    assert len([complaint for complaint in browser.complaints() if "Content Security Policy" in complaint]) == 2
