"""Which faults a run has, when they come, and for how long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskq.errors import ConfigError
from taskq_testing.explore.strategies import Uniform
from taskq_testing.faults import FAULTS, PLACES, Faults, choose, durations
from taskq_testing.tape import Quiet, Tape


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        ("all", set(FAULTS)),
        ("none", set()),
        ("crash", {"crash"}),
        (["crash", "suspend"], {"crash", "suspend"}),
        ("-crash", set(FAULTS) - {"crash"}),
        (["all", "-crash"], set(FAULTS) - {"crash"}),
        ([], set()),
    ],
)
def test_faults_are_chosen_by_name(asked, chosen):
    """All, none, some, or all but some."""
    assert choose(asked) == chosen


def test_an_unknown_fault_names_the_known_ones():
    """A slip of the pen is no silent choice of nothing."""
    with pytest.raises(ConfigError, match="there is no fault 'crsh'; there are: all, none, slow_network"):
        choose("crsh")


@given(st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=5))
def test_durations_are_dense_around_each_boundary(edges):
    """There is one just before, at, and just after each time at which a queue changes its mind; and they are in order."""
    found = durations(edges)
    assert found == sorted(set(found))
    for edge in edges:
        for factor in (0.999, 1.0, 1.001):
            assert any(abs(seconds - edge * factor) <= 1e-6 * edge + 1e-8 for seconds in found)


def test_boundaries_without_sense_are_left_out():
    """Zero and infinity are no times to wait around."""
    assert durations([0.0, float("inf")]) == durations([1.0])


def test_a_quiet_tape_has_no_faults():
    """What is left when nothing is drawn is a run without any."""
    faults = Faults(Tape(0, Quiet()), FAULTS, [1.0])
    assert faults.on == frozenset()
    assert all(faults.at(place, "k") is None for place in PLACES for _ in range(100))


def test_each_fault_happens_at_its_place_and_no_other():
    """Over many runs every fault comes, where it belongs, and only those that are allowed."""
    seen = {place: set() for place in PLACES}
    for seed in range(150):
        faults = Faults(Tape(seed, Uniform()), set(FAULTS) - {"partition"}, [1.0, 5.0])
        for place in PLACES:
            for number in range(40):
                fault = faults.at(place, f"{number}")
                if fault is not None:
                    assert fault.name in faults.on
                    assert fault.seconds > 0
                    assert fault.variant in (0, 1, 2)
                    seen[place].add(fault.name)
    assert seen == {place: set(names) - {"partition"} for place, (_, names) in PLACES.items()}


def test_after_the_healing_nothing_happens():
    """A quiet world has no more faults, whatever is drawn."""
    faults = Faults(Tape(1, Uniform()), FAULTS, [1.0])
    faults.quiet = True
    assert all(faults.at(place, "k") is None for place in PLACES for _ in range(200))


def test_a_fault_that_is_asked_for_alone_comes_as_often_as_its_place_has_faults():
    """A run that may only suspend workers does so three times as often as one that may crash them and slow them down too."""
    places = {"handler": (0.15, ("slow_handler", "suspend", "crash"))}

    def share(allowed):
        runs = [Faults(Tape(seed, Uniform()), allowed, [1.0], places) for seed in range(400)]
        return sum(faults.at("handler", "k") is not None for faults in runs if "suspend" in faults.on) / 400

    assert share({"suspend"}) == pytest.approx(0.6 * 0.15, abs=0.03)
    names = [faults.at("handler", "k") for faults in (Faults(Tape(seed, Uniform()), {"suspend"}, [1.0]) for seed in range(99))]
    assert {fault.name for fault in names if fault is not None} == {"suspend"}
