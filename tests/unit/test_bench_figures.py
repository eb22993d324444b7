"""benchmarks/figures.py, validity.py, table.py, results.py: what is said about what was measured."""

import json
import math

import pytest

from benchmarks import results, table, validity
from benchmarks.figures import (
    Line,
    Round,
    at_least_naive,
    at_most,
    at_most_quiet,
    counting,
    medians,
    percentile,
)
from benchmarks.validity import Usage


@pytest.mark.parametrize(
    ("percent", "expected"), [(50, 50), (99, 99), (100, 100), (0, 1), (0.5, 1), (99.1, 100)]
)
def test_percentile_is_the_nearest_rank(percent, expected):
    assert percentile(range(100, 0, -1), percent) == expected


def test_percentile_of_few_and_of_none():
    assert percentile([7.0], 99) == 7.0
    assert percentile([1.0, 2.0], 50) == 1.0
    assert math.isnan(percentile([], 50))


def test_a_machine_is_calm_when_others_used_little_of_it():
    def usage(machine: float) -> Usage:
        return Usage(seconds=10, system=8, sink=1, load=1, machine=machine)

    assert validity.of_machine(usage(13.4).cores_of_others) == []
    assert validity.of_machine(usage(13.6).cores_of_others) == [
        "other processes used 0.36 cores; 0.35 is the most that counts"
    ]
    # Ticks are counted at different moments: a little less than nothing is nothing
    assert usage(9.9).cores_of_others == 0


def test_a_round_counts_only_with_a_baseline_as_on_a_calm_machine():
    assert validity.of_baseline(12.0) == validity.of_baseline(18.0) == []
    assert validity.of_baseline(18.1) == ["the baseline took 18.1 CPU s per 1,000 runs; 12 to 18 counts"]
    assert validity.of_baseline(11.9)
    assert validity.of_baseline(math.nan)


def a_round(naive: float, ours: float, *, invalid: list[str] | None = None) -> Round:
    return Round({"naive": {"speed": naive}, "lightfield": {"speed": ours}}, invalid or [])


def test_medians_are_of_the_valid_rounds():
    rounds = [a_round(10, 20), a_round(12, 30), a_round(11, 25), a_round(1, 1, invalid=["noise"])]
    assert len(counting(rounds)) == 3
    assert medians(rounds, "naive") == {"speed": 11}
    assert medians(rounds, "lightfield") == {"speed": 25}


def test_given_no_valid_round_then_the_figures_are_shown_all_the_same():
    rounds = [a_round(1, 2, invalid=["noise"]), Round(invalid=["it did not end"])]
    assert medians(rounds, "lightfield") == {"speed": 2}
    assert medians([Round()], "naive") == {}


def test_bars():
    assert at_most(13).is_met(13.0, {}, {})
    assert not at_most(13).is_met(math.nan, {}, {})
    assert at_least_naive(1.5, "speed").is_met(15, {}, {"speed": 10})
    assert not at_least_naive(1.5, "speed").is_met(15, {}, {})
    assert at_most_quiet(2, "quiet", or_else=250).is_met(240, {"quiet": 20}, {})
    assert not at_most_quiet(2, "quiet").is_met(240, {"quiet": 20}, {})


LINES = (
    Line("speed", "runs/s", 0, at_least_naive(1.5, "speed")),
    Line("cost", "CPU s", 1),
    Line("not_measured", "statements", 1),
)


def test_the_table_sets_both_beside_each_other():
    played = Round()
    played.add("naive", {"speed": 100.0, "cost": 15.0}, [], [])
    played.add("lightfield", {"speed": 1250.0, "cost": 5.0}, [], [])
    drawn = table.drawn("throughput", LINES, [played])
    assert [line.split() for line in drawn.splitlines()] == [
        ["throughput:", "one", "round"],
        ["naive", "Lightfield", "ratio", "bar"],
        ["runs/s", "100", "1,250", "12.50", ">=", "1.5", "x", "met"],
        ["CPU", "s", "15.0", "5.0", "0.33"],
    ]


def test_the_table_hides_nothing():
    played = Round()
    played.add("lightfield", {"speed": 50.0}, ["1 effects lost: a/0"], ["noise"])
    drawn = table.drawn("throughput", LINES, [played, a_round(100, 120)])
    assert "medians of 1 valid rounds of 2" in drawn
    assert "MISSED" in drawn
    assert "round 1 is not valid: lightfield: noise" in drawn
    assert "round 1 WRONG: 1 effects lost: a/0" in drawn


def test_without_a_baseline_there_are_no_columns_for_it():
    drawn = table.drawn("idle", LINES, [Round({"lightfield": {"cost": 1.0}})])
    assert "naive" not in drawn
    assert "ratio" not in drawn
    assert drawn.splitlines()[2].split() == ["CPU", "s", "1.0"]


def test_results_are_kept_with_every_round_and_where_it_was_measured(tmp_path):
    # Given a round that does not count, with a figure that nobody knows
    played = Round(notes={"backlog": [1, 2]})
    played.add("lightfield", {"speed": math.nan}, ["1 effects lost: a/0"], ["noise"])
    rounds = [a_round(10, 20), played]

    # When it is kept twice on one day
    commit = results.commit_of_checkout()
    path = results.keep("throughput", rounds, commit=commit, options={"events": 60}, folder=tmp_path)
    second = results.keep("throughput", rounds, commit=commit, options={"events": 60}, folder=tmp_path)

    # Then nothing is overwritten, and all of it can be read again
    assert path != second
    assert path.name.endswith("-throughput.json")
    kept = json.loads(path.read_text())
    assert path.name.startswith(f"{kept['at'][:10]}-{kept['commit'][:7]}")
    assert {"cores", "cpu", "python", "postgres"} <= kept["machine"].keys()
    assert kept["options"] == {"events": 60}
    assert kept["medians"]["lightfield"] == {"speed": 20}
    assert kept["rounds"][1] == {
        "valid": False,
        "why": ["lightfield: noise"],
        "problems": ["1 effects lost: a/0"],
        "figures": {"lightfield": {"speed": None}},
        "backlog": [1, 2],
    }
