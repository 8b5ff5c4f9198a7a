"""The timeline's page in a real browser: it loads, searches, steps, plays, zooms, and shows what the history says.

Needs Chromium or Chrome (`apt-get install -y chromium`, or TASKQ_BROWSER=path). A machine without one fails here, unless
TASKQ_NO_BROWSER=1 says that this is meant.
"""

import os

import pytest
from testing.browser import Browser, find_browser
from testing.sample_history import MESSAGE, Script, fleet, incident

from taskq_testing import timeline
from taskq_testing.outcome import Violation
from taskq_testing.timeline.facts import gather
from taskq_testing.timeline.words import clock, describe, owner_of

pytestmark = pytest.mark.slow

STATES = ("ready", "delayed", "reserved", "dead")
OTHER = "mail/api-2:1"
SIZES = [(1400, 900), (800, 600)]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """One browser for all tests."""
    path = find_browser()
    if path is None and os.environ.get("TASKQ_NO_BROWSER") == "1":
        pytest.skip("TASKQ_NO_BROWSER=1: this machine is meant to have no browser")
    assert path is not None, (
        "no Chromium or Chrome was found; install one (apt-get install -y chromium) or set TASKQ_NO_BROWSER=1"
    )
    browser = Browser(path, tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def show(browser, tmp_path):
    """Open the page of a history; afterwards it must have complained of nothing and asked the network for nothing."""

    def show(history, *, width=1400, height=900, scheme="light", **more):
        timeline.page(history, tmp_path / "run.html", **more)
        browser.open(tmp_path / "run.html", width, height, scheme)
        browser.run(HELPERS)
        return browser

    yield show
    assert browser.complaints() == []


def text(browser, selector):
    """Return what a person reads in an element."""
    return browser.run(f"document.querySelector({selector!r}).innerText")


def texts(browser, selector):
    """Return what a person reads in each of the elements."""
    return browser.run(f"[...document.querySelectorAll({selector!r})].map(each => each.innerText)")


def now(browser):
    """Return which event is the current one, by what the page says."""
    return int(text(browser, "#clock").split("event ")[1].split(" of ")[0]) - 1


def queues(browser):
    """Return the panel's counts by state of each queue."""
    return {name: tuple(map(int, counts)) for name, *counts in (row.split() for row in texts(browser, "#queues tbody tr"))}


def expected(facts, index):
    """Return the counts after an event as the history has them."""
    told = dict.fromkeys({about.queue for about in facts.messages.values()}, (0, 0, 0, 0))
    told.update({queue: sizes for at, queue, sizes in facts.counts if at <= index})
    return told


HELPERS = """
const testing = {
  scratch: document.createElement("canvas").getContext("2d", { willReadFrequently: true }),
  box: (id) => part(id).getBoundingClientRect(),
  place: (i) => [testing.box("plot").left + axis.x(layout.u[i]), testing.box("plot").top + layout.y[i] - layout.top],
  pixels: (x, y, width = 1, height = 1) => {
    const [left, top] = [x - testing.box("plot").left, y - testing.box("plot").top].map(Math.round);
    Object.assign(testing.scratch.canvas, { width, height });
    testing.scratch.drawImage(part("plot"), -left, -top);
    return [...testing.scratch.getImageData(0, 0, width, height).data];
  },
  colours: () => {
    const { left, top, width, height } = testing.box("plot");
    const all = testing.pixels(left, top, width, height);
    return new Set(all.filter((_, i) => i % 4 === 0).map((red, i) => `${red},${all[4 * i + 1]},${all[4 * i + 2]}`)).size;
  },
  until: (condition) => new Promise((done) => {
    const look = () => (condition() ? done(1) : requestAnimationFrame(look));
    look();
  }),
  drawn: (act) => {
    const proto = CanvasRenderingContext2D.prototype;
    const names = ["clearRect", "drawImage", "fill", "fillRect", "fillText", "stroke", "strokeRect"];
    const own = Object.fromEntries(names.map((name) => [name, proto[name]]));
    let calls = 0;
    for (const name of names) {
      proto[name] = function counted(...given) {
        calls += 1;
        return own[name].apply(this, given);
      };
    }
    act();
    Object.assign(proto, own);
    return calls;
  },
};
"""


def place(browser, seq):
    """Return where the mark of an event is in the window."""
    return tuple(browser.run(f"testing.place({seq})"))


def box(browser, element):
    """Return left, top, width and height of an element in the window."""
    return browser.run(f"(({{left, top, width, height}}) => [left, top, width, height])(testing.box({element!r}))")


def pixel(browser, x, y):
    """Return the colour of the chart at a place of the window."""
    return tuple(browser.run(f"testing.pixels({x}, {y})")[:3])


def colour(browser, name):
    """Return a colour of the page's palette."""
    return tuple(browser.run(f"painter.look[{name!r}].match(/\\d+/g).slice(0, 3).map(Number)"))


def apart(one, other):
    """Return how different two colours are."""
    return sum(abs(a - b) for a, b in zip(one, other, strict=True))


def acked(history, message):
    """Return the `seq` of a message's acknowledgement."""
    return next(event.seq for event in history.of("acked") if event.message == message)


# -- loading


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("size", [20, 3000])
def test_pages_of_all_sizes_are_drawn(show, tmp_path, size, width, height, scheme):
    """Few and many events, on large and small windows, light and dark: all lanes are labelled, nothing overflows the window."""
    history = fleet(size, 3)
    browser = show(history, width=width, height=height, scheme=scheme, title="A fleet", seed=3)
    assert text(browser, "h1") == "A fleet"
    assert f"{len(history):,} events" in text(browser, "#summary")
    assert {"api-1\nproducer", "mail\nqueue", "worker-3\nworker"} <= set(texts(browser, "#lanes li"))
    assert browser.run("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]") == [width, height]
    assert (
        browser.run("getComputedStyle(document.body).backgroundColor")
        == {"light": "rgb(246, 245, 241)", "dark": "rgb(18, 21, 26)"}[scheme]
    )
    assert browser.run("testing.colours()") > 30
    picture = tmp_path / "page.png"
    browser.screenshot(picture)
    assert picture.stat().st_size > 20_000


def test_nothing_of_a_history_is_run_or_loaded(show):
    """Markup in ids and reasons is shown as text, and does nothing."""
    nasty = "<img src=x onerror=window.pwned=1></script><script>window.pwned=2</script>"
    say = Script()
    say(0.0, "stored", nasty, queue="<b>q</b>", message=nasty, task=nasty)
    say(1.0, "dead", nasty, message=nasty, queue="<b>q</b>", reason=nasty)
    browser = show(say.history, title=nasty, violations=[Violation(1, nasty, nasty, (1,))])
    assert browser.run("window.pwned === undefined")
    assert browser.run("document.querySelectorAll('img, b b, main script').length") == 0
    assert text(browser, "h1") == nasty
    assert nasty in text(browser, "#violations")
    assert nasty in text(browser, "#now")
    assert "<b>q</b>\nqueue" in texts(browser, "#lanes li")


def test_the_policy_holds(browser, tmp_path):
    """A script or picture that somebody adds to the page neither runs nor reaches the network; and complaints are seen."""
    page = timeline.html(incident()[0])
    added = "<script>window.pwned = 1</script><img src='http://127.0.0.1:9/x.png'><i style='color: red'></i></body>"
    (tmp_path / "changed.html").write_text(page.replace("</body>", added), encoding="utf-8")
    browser.open(tmp_path / "changed.html")
    assert browser.run("window.pwned === undefined")
    assert "rgb(255, 0, 0)" not in browser.run("getComputedStyle(document.querySelector('body > i')).color")
    assert len([complaint for complaint in browser.complaints() if "Content Security Policy" in complaint]) == 3


def test_an_empty_history_has_a_page(show):
    """No event at all is no error."""
    browser = show(Script().history)
    assert "Nothing has happened" in text(browser, "#now")
    for key in ("ArrowRight", "ArrowLeft", "Home", "End", "c", "+", "0"):
        browser.press(key)


# -- time


@pytest.mark.parametrize("seed", [1, 2])
def test_stepping_shows_each_state(show, seed):
    """Every step to the right is one event, and the panel then counts what the history had until there."""
    history = fleet(60, seed)
    facts = gather(history)
    browser = show(history)
    browser.press("Home")
    seen = []
    for index, event in enumerate(facts.events):
        assert now(browser) == index
        assert queues(browser) == expected(facts, index)
        assert text(browser, "#now").split("\n")[-1].strip() == f"{owner_of(event)}: {describe(event)}"
        assert clock(event.t) in text(browser, "#clock")
        seen.append(browser.run("part('time').getAttribute('aria-valuetext')"))
        browser.press("ArrowRight")
    assert now(browser) == len(history) - 1
    assert seen == [f"{clock(event.t)}, {owner_of(event)}: {describe(event)}" for event in facts.events]
    browser.press("ArrowLeft")
    assert now(browser) == len(history) - 2


def test_workers_are_told_as_they_are(show):
    """The panel says what each worker runs, and what is wrong with it, at the moment."""
    history, _ = incident()
    browser = show(history)
    told = {}
    browser.press("Home")
    for index in range(len(history)):
        told[index] = texts(browser, "#workers li")
        browser.press("ArrowRight")
    by_kind = {(event.kind, event.process, event.run): event.seq for event in history}
    assert told[by_kind["start", "worker-1", 1] - 1] == ["worker-1\nidle", "worker-2\nidle"]
    run = f"runs {MESSAGE} (mail.greet) since 0.112s"
    assert told[by_kind["start", "worker-1", 1]][0] == f"worker-1\n{run}"
    assert told[by_kind["suspend", "worker-1", 0]][0] == f"worker-1\nsuspended; {run}"
    assert told[by_kind["wake", "worker-1", 0]][0] == f"worker-1\n{run}"
    assert told[by_kind["end", "worker-1", 1]][0] == "worker-1\nidle"


def test_the_slider_moves_through_time(show):
    """A click on the slider goes to that time: the panel follows, and what comes later is veiled."""
    history = fleet(300, 3)
    facts = gather(history)
    browser = show(history)
    late = acked(history, list(history.of("acked"))[-1].message)
    bright = pixel(browser, *place(browser, late))
    assert apart(bright, colour(browser, "ok")) < 12
    left, top, width, height = box(browser, "time")
    browser.click(left + width / 2, top + height / 2)
    index = now(browser)
    assert abs(facts.events[index].t / facts.end - 0.5) < 0.05
    assert facts.events[index + 1].t > browser.run("axis.t(state.u)")
    assert queues(browser) == expected(facts, index)
    assert apart(pixel(browser, *place(browser, late)), bright) > 100
    assert len(texts(browser, "#around .future")) == 4
    early = acked(history, next(history.of("acked")).message)
    assert apart(pixel(browser, *place(browser, early)), colour(browser, "ok")) < 12


def test_the_slider_works_with_keys_alone(show):
    """With the focus on the slider, left and right are one event each, and not a step of the slider."""
    history = fleet(120, 1)
    browser = show(history)
    browser.run("part('time').focus()")
    browser.press("Home")
    for index in range(1, 6):
        browser.press("ArrowRight")
        assert now(browser) == index
    browser.press("End")
    assert now(browser) == len(history) - 1


def test_space_plays_and_pauses(show):
    """Playing goes through the events by itself until it is stopped, and ends at the end."""
    history = fleet(120, 1)
    browser = show(history)
    browser.press("Home")
    browser.press(" ")
    assert text(browser, "#play") == "❚❚"
    browser.run("testing.until(() => state.index > 5)")
    browser.press(" ")
    stopped = now(browser)
    browser.settle()
    assert stopped > 5
    assert now(browser) == stopped < len(history) - 1
    browser.run("goTo(0.97); play(); testing.until(() => !state.playing)")
    assert now(browser) == len(history) - 1
    assert text(browser, "#play") == "▶"


# -- messages


def test_a_searched_message_is_lit_and_all_others_dim(show):
    """Searching an id lights that message's path, dims the others, lists its events, and tells its story."""
    history, _ = incident()
    browser = show(history)
    mine, other = place(browser, acked(history, MESSAGE)), place(browser, acked(history, OTHER))
    ok, lane = colour(browser, "ok"), colour(browser, "lane")
    assert apart(pixel(browser, *mine), ok) < 12
    assert apart(pixel(browser, *other), ok) < 12
    browser.press("/")
    browser.type(MESSAGE)
    assert apart(pixel(browser, *mine), ok) < 12
    assert 2 * apart(pixel(browser, *other), lane) < apart(pixel(browser, *other), ok)
    facts = gather(history)
    found = [f"{clock(event.t)} {owner_of(event)}: {describe(event)}" for event in facts.events if event.message == MESSAGE]
    assert texts(browser, "#hits li") == found
    assert texts(browser, "#why li") == timeline.why(history, MESSAGE).splitlines()
    browser.press("Escape")
    assert apart(pixel(browser, *other), ok) < 12
    assert browser.run("part('search').value") == ""
    assert browser.run("part('hit-list').hidden")


def test_the_path_of_a_message_is_drawn(show):
    """A lit message has a line through all its lanes, which is not there otherwise."""
    history, _ = incident()
    browser = show(history)
    (x, y), (toX, toY) = (
        place(browser, next(e.seq for e in history.of(kind) if e.message == OTHER)) for kind in ("add", "stored")
    )
    strip = f"testing.pixels({(x + toX) / 2 - 4}, {(y + toY) / 2}, 9)"
    before = browser.run(strip)
    browser.press("/")
    browser.type(OTHER)
    after = browser.run(strip)
    assert before != after
    accent = colour(browser, "accent")
    assert min(apart(after[at : at + 3], accent) for at in range(0, len(after), 4)) < 160


def test_enter_steps_through_the_hits(show):
    """Enter goes from hit to hit and round again, with Shift backwards; the search can be for a task or any text."""
    history = fleet(200, 1)
    facts = gather(history)
    browser = show(history)
    browser.press("/")
    browser.type("reports.render")
    hits = [i for i, event in enumerate(facts.events) if event.message and facts.messages[event.message].task == "reports.render"]
    assert text(browser, "#found") == f"- of {len(hits)}"
    browser.press("Enter")
    assert now(browser) == hits[0]
    browser.press("Home")
    walked = []
    for shift in (False, False, False, True, True, True, False):
        browser.press("Enter", shift=shift)
        walked.append(now(browser))
    assert len(hits) > 4
    start = hits.index(walked[0])
    assert walked == [hits[(start + by) % len(hits)] for by in (0, 1, 2, 1, 0, -1, 0)]
    assert text(browser, "#found") == f"{hits.index(walked[-1]) + 1} of {len(hits)}"


def test_hovering_lights_a_message_and_a_click_follows_it(show):
    """The mouse over a mark tells it and lights its message; a click keeps it, and steps with Shift stay on it."""
    history, _ = incident()
    browser = show(history)
    mine = place(browser, next(event.seq for event in history.of("accepted") if event.message == MESSAGE))
    other = place(browser, acked(history, OTHER))
    ok = colour(browser, "ok")
    browser.mouse("mouseMoved", *other)
    browser.settle()
    assert text(browser, "#tip") == f"3.301s worker-2: acknowledged {OTHER}: done"
    assert apart(pixel(browser, *mine), ok) > 150
    browser.mouse("mouseMoved", other[0], other[1] + 400)
    browser.settle()
    assert apart(pixel(browser, *mine), ok) < 12
    browser.click(*other)
    browser.mouse("mouseMoved", other[0], other[1] + 400)
    browser.settle()
    assert apart(pixel(browser, *mine), ok) > 150
    assert now(browser) == acked(history, OTHER)
    assert text(browser, "#whose") == OTHER
    of_it = [event.seq for event in gather(history).events if event.message == OTHER]
    walked = []
    for _ in of_it[1:]:
        browser.press("ArrowLeft", shift=True)
        walked.append(now(browser))
    assert walked == of_it[-2::-1]


def test_a_violation_is_where_a_click_leads(show):
    """A violation stands at the top with its sentence; its events are ringed in red, and each click goes to the next of them."""
    history, violations = incident()
    browser = show(history, violations=violations)
    assert text(browser, "#violations button") == f"✗ Invariant 8\n{violations[0].sentence}"
    assert now(browser) == violations[0].events[-1]
    x, y = place(browser, violations[0].events[2])
    assert apart(pixel(browser, x + 9, y), colour(browser, "bad")) < 60
    x, y = place(browser, acked(history, OTHER))
    assert apart(pixel(browser, x + 9, y), colour(browser, "bad")) > 150
    browser.press("Home")
    walked = []
    for _ in range(5):
        browser.run("document.querySelector('#violations button').click()")
        walked.append(now(browser))
    assert walked == [*violations[0].events, violations[0].events[0]]


# -- the view


def test_the_theme_can_be_changed(show):
    """The toggle changes between light and dark, of the page and of the chart; it begins as the system is set."""
    browser = show(incident()[0], scheme="dark")
    page = "getComputedStyle(document.body).backgroundColor"
    seen = []
    for _ in range(3):
        left, top, *_ = box(browser, "plot")
        seen.append((text(browser, "#theme"), browser.run(page), pixel(browser, left + 3, top + 3)))
        browser.run("part('theme').click()")
        browser.settle()
    assert [name for name, *_ in seen] == ["Light", "Dark", "Light"]
    assert seen[0] == seen[2]
    assert sum(seen[0][2]) < 400 < sum(seen[1][2])
    browser.press("t")
    assert browser.run(page) == seen[0][1]


def test_quiet_time_is_compressed_where_it_dominates(show):
    """An hour in which nothing happens takes little room unless it is asked for, and its length is said."""
    say = Script()
    for hour in range(3):
        for number in range(8):
            say(hour * 3600 + number * 0.5, "stored", "api", queue="q", message=f"m{hour}-{number}", task="t")
    browser = show(say.history)
    share = "(layout.u[8] - layout.u[7]) / (layout.u[23] - layout.u[0])"
    assert browser.run("part('quiet').getAttribute('aria-pressed')") == "true"
    assert browser.run(share) < 0.25
    assert browser.run("layout.u[7] - layout.u[0]") > 0.1
    assert browser.run("axis.breaks().map(each => lengthOf(each.t))") == ["59.9 min", "59.9 min"]
    browser.press("c")
    assert browser.run("part('quiet').getAttribute('aria-pressed')") == "false"
    assert browser.run(share) > 0.45
    assert show(fleet(300, 3)).run("part('quiet').getAttribute('aria-pressed')") == "false"


def test_what_happens_at_one_instant_is_drawn_side_by_side(show):
    """In virtual time much happens at one instant: compressed, each event has a place of its own, in order."""
    say = Script()
    for number in range(20):
        say(1.0 + number // 10, "stored", "api", queue="q", message=f"m{number}", task="t")
    browser = show(say.history)
    assert browser.run("[...layout.u].every((u, i) => !i || u > layout.u[i - 1])")
    browser.press("c")
    assert browser.run("layout.u[0] === layout.u[9] && layout.u[9] < layout.u[10]")


def test_the_wheel_zooms_and_dragging_pans(show):
    """The wheel zooms round the mouse, dragging moves the chart, buttons and keys do it too, and Fit shows all again."""
    browser = show(fleet(300, 1))
    seq = 150
    x, y = place(browser, seq)
    span = "axis.to - axis.from"
    assert browser.run(span) == pytest.approx(1.02)
    browser.mouse("mouseWheel", x, y, deltaX=0, deltaY=-600)
    browser.settle()
    assert browser.run(span) == pytest.approx(1.02 * 1.0015**-600)
    assert place(browser, seq) == pytest.approx((x, y), abs=1)
    browser.mouse("mousePressed", x, y, button="left", clickCount=1)
    for moved in (40, 90):
        browser.mouse("mouseMoved", x + moved, y, button="left")
    browser.mouse("mouseReleased", x + 90, y, button="left", clickCount=1)
    browser.settle()
    assert place(browser, seq)[0] == pytest.approx(x + 90, abs=1)
    assert now(browser) == browser.run("run.events.length") - 1
    for do, factor in (("part('in').click()", 1 / 1.5), ("part('out').click()", 1.5)):
        before = browser.run(span)
        browser.run(do)
        assert browser.run(span) == pytest.approx(before * factor)
    for key, factor in (("+", 1 / 1.5), ("-", 1.5)):
        before = browser.run(span)
        browser.press(key)
        assert browser.run(span) == pytest.approx(before * factor)
    browser.press("0")
    assert browser.run(span) == pytest.approx(1.02)


def test_many_lanes_scroll_to_what_is_asked_for(show):
    """With more lanes than fit, going to an event brings its lane into sight."""
    say = Script()
    for number in range(40):
        say(number, "reserved", f"worker-{number}", queue="q", message=f"m{number}", receipt=number, expires=99.0)
        say(number + 0.1, "start", f"worker-{number}", queue="q", message=f"m{number}", receipt=number, run=number, attempt=1)
    browser = show(say.history, height=600)
    browser.press("Home")
    browser.press("/")
    browser.type("m39")
    browser.press("Enter")
    browser.press("Enter")
    browser.settle()
    _, top, _, height = box(browser, "scroll")
    assert now(browser) == 79
    assert top < place(browser, 79)[1] < top + height
    assert browser.run("part('scroll').scrollTop") > 500


def test_everything_can_be_reached_and_has_a_name(show):
    """With Tab alone one gets to every control, each has a name, and the focus can be seen."""
    history, violations = incident()
    browser = show(history, violations=violations)
    every = "[...document.querySelectorAll('button, input, summary, [tabindex]')]"
    controls = browser.run(f"{every}.filter(each => each.checkVisibility()).map(each => each.tabIndex)")
    assert len(controls) > 15
    assert set(controls) == {0}
    tree = browser.call("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "slider", "searchbox", "application", "DisclosureTriangle"}
    named = {
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in tree
        if node.get("role", {}).get("value") in roles
    }
    assert len(named) > 12
    assert all(name for _, name in named)
    assert ("slider", "Virtual time") in named
    browser.run("part('search').focus()")
    browser.settle()
    assert browser.run("getComputedStyle(part('search')).outlineStyle") == "solid"


def test_thousands_of_events_stay_smooth(show):
    """With 5,000 events a step puts two pictures together and draws what belongs to the moment; only a new view draws all."""
    history = fleet(5000, 1)
    browser = show(history)
    step = "Object.assign(state, { index: 2000 + i, u: layout.u[2000 + i] }); painter.draw(state, null);"
    steps = browser.run(f"[...Array(50).keys()].map((i) => testing.drawn(() => {{ {step} }}))")
    view = browser.run("testing.drawn(() => { painter.seen = ''; painter.draw(state, null); })")
    assert view > 1000
    assert max(steps) < 30
