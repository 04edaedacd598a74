"""All spaces, and one: every figure against the same figure computed by hand."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from misir.analytics.views import focus_history, global_analytics, margin_distribution, space_analytics
from misir.errors import MisirError
from misir.orient.assign import calibrated
from misir.orient.config import EngineConfig
from misir.orient.reading import DecayRate, EngagementLevel
from misir.orient.weight import effective_weight

from .conftest import NOW, OTHER, Stage, Writer, vector

CONFIG = EngineConfig()
MINUTE = 60_000


class Scene:
    """Two spaces with an intention and without, a trashed page, a deleted topic, a deleted space; somebody else's, too."""

    def __init__(self, stage: Stage) -> None:
        write = stage.writer
        self.sea_space = write.space("Sea", vector(1))
        self.wood_space = write.space("Wood")
        self.tide = write.topic(self.sea_space, "Tide", vector(1, 0.2), 4, 0.5)
        self.reef = write.topic(self.sea_space, "Reef", vector(0.2, 1), 2, 0.9)
        self.cliff = write.topic(self.sea_space, "Cliff", vector(0, 0, 1))
        self.oak = write.topic(self.wood_space, "Oak", vector(0, 0, 0, 1), 3, 0.2)
        read = write.page
        self.deep = read(
            self.sea_space,
            self.tide,
            (40, "latent", 1 * MINUTE),
            (2, "saturated", 20 * MINUTE),
            domain="deep.example",
            fit=0.9,
            similarity=0.6,
        )
        self.weak = read(self.sea_space, self.tide, (10, "discovered", 2 * MINUTE), fit=0.1, similarity=0.3)
        self.old = read(self.sea_space, self.tide, (400, "engaged", None), source="pdf", rate="low", fit=0.4)
        self.untimed = read(self.sea_space, self.tide, (9, "engaged", None), words=600, fit=0.5)
        self.reefs = [
            read(self.sea_space, self.reef, (day, "engaged", 3 * MINUTE), fit=1.0) for day in (3, 5)
        ]
        self.nowhere = read(
            self.sea_space, None, (1, "latent", 1 * MINUTE), fit=0.0, similarity=None, title=None, domain=None
        )
        self.oaks = [
            read(self.wood_space, self.oak, (day, "discovered", MINUTE), rate="medium", source="video")
            for day in (1.2, 1.3, 1.4)
        ]
        trashed = read(self.sea_space, self.tide, (1, "saturated", 90 * MINUTE))
        write.conn.execute("update misir.artifact set deleted_at = now() where id = %s", [trashed])
        gone = write.space("Gone")
        read(gone, None, (1, "engaged", 50 * MINUTE), fit=0.0)
        write.conn.execute("update misir.space set deleted_at = now() where id = %s", [gone])
        foreign = Writer(write.conn, OTHER)
        theirs = foreign.space("Theirs")
        foreign.page(
            theirs, foreign.topic(theirs, "Secret", vector(1), 5, 1.0), (1, "saturated", 50 * MINUTE), fit=0.0
        )
        for days, count, confidence in ((30, 2, 0.9), (16, 3, 0.4), (2, 4, 0.5)):
            write.snapshot(self.tide, days, count, confidence)
        write.snapshot(self.reef, 16, 5, 0.8)
        write.snapshot(self.reef, 3, 2, 0.9)


@pytest.fixture(scope="module")
def scene(stage: Stage) -> Scene:
    return Scene(stage)


def weight(
    stage: Stage, days: float, level: str, similarity: float = 0.5, rate: str = "high", at: datetime = NOW
) -> float:
    """By the formula of the engine, not by that of the statement."""
    calibration = stage.res.embedder.calibration
    relevance = float(calibrated(similarity, calibration.mu, calibration.tau))
    read = NOW - timedelta(days=days)
    return effective_weight(
        EngagementLevel(level), relevance, DecayRate(rate), CONFIG, occurred_at=read, now=at
    )


def tides(stage: Stage) -> list[float]:
    return [
        weight(stage, 2, "saturated", 0.6),
        weight(stage, 10, "discovered", 0.3),
        weight(stage, 400, "engaged", rate="low"),
        weight(stage, 9, "engaged"),
    ]


def oaks(stage: Stage) -> list[float]:
    return [weight(stage, days, "discovered", rate="medium") for days in (1.2, 1.3, 1.4)]


def test_focus_is_confidence_by_what_was_read_how_deeply_and_how_lately(stage: Stage, scene: Scene) -> None:
    """Reef has too few artifacts to count."""
    overview = stage.see(global_analytics, now=NOW).overview
    tide, oak = sum(tides(stage)), sum(oaks(stage))
    assert overview.overall_focus == pytest.approx((tide * 0.5 + oak * 0.2) / (tide + oak), rel=1e-9)
    assert (overview.system_health, overview.enough_data, overview.focus_sample) == ("healthy", True, 7)
    assert (overview.total_artifacts, overview.active_spaces) == (10, 2)


def test_time_is_what_was_measured_and_words_only_where_nothing_was(stage: Stage, scene: Scene) -> None:
    """A visit counts once; the trashed, the deleted and the one 400 days ago not at all."""
    sea, wood = stage.see(global_analytics, now=NOW).time_allocation
    assert (sea.space_name, sea.minutes, sea.estimated, sea.estimated_minutes) == (
        "Sea",
        1 + 20 + 2 + 3 + 6 + 1,
        True,
        3.0,
    )
    assert (wood.space_name, wood.minutes, wood.estimated) == ("Wood", 3.0, False)
    assert (sea.percentage, wood.percentage) == (91.7, 8.3)
    assert (sea.visit_count, wood.visit_count) == (7, 3)
    assert sea.space_color.startswith("#")


def test_one_visit_is_one_sitting_and_its_longest_active_time(stage: Stage, scene: Scene) -> None:
    write = stage.writer
    space = write.space("Visits")
    page = write.page(space, None, (0.1, "latent", 5 * MINUTE))
    write.signal(page, 0.1, "engaged", 9 * MINUTE, order=1, active=2 * MINUTE)
    write.signal(page, 0.1, "engaged", 12 * MINUTE, order=2, active=4 * MINUTE)
    sitting = write.one(
        "insert into misir.session (user_id, external_id) values (%(user)s, 'x') returning id"
    )
    write.signal(page, 0.1, "engaged", 7 * MINUTE, order=3, session=sitting)
    row = next(one for one in stage.see(global_analytics, now=NOW).time_allocation if one.space_id == space)
    assert (row.minutes, row.visit_count, row.estimated) == (4 + 7, 2, False)
    write.conn.execute("delete from misir.space where id = %s", [space])


def test_the_heatmap_has_every_day_of_the_persons_own_time(stage: Stage, scene: Scene) -> None:
    days = stage.see(global_analytics, now=NOW).activity_heatmap
    assert [days[0].date, days[-1].date, len(days)] == [date(2026, 3, 18), date(2026, 6, 15), 90]
    read = {one.date: one.count for one in days if one.count}
    whole = Counter((NOW - timedelta(days=back)).date() for back in (40, 2, 10, 9, 3, 5, 1, 1.2, 1.3, 1.4))
    assert read == dict(whole)
    stage.writer.conn.execute(
        "insert into misir.profile (user_id, timezone) values (%s, 'Pacific/Kiritimati')", [stage.writer.user]
    )
    moved = stage.see(global_analytics, now=NOW)
    stage.writer.conn.execute("delete from misir.profile")
    assert (moved.timezone, moved.activity_heatmap[-1].date) == ("Pacific/Kiritimati", date(2026, 6, 16))
    there = Counter(
        (NOW + timedelta(hours=14) - timedelta(days=back)).date()
        for back in (40, 2, 10, 9, 3, 5, 1, 1.2, 1.3, 1.4)
    )
    assert {one.date: one.count for one in moved.activity_heatmap if one.count} == dict(there)


def test_what_fits_badly_and_what_fits_nowhere_is_newest_first(stage: Stage, scene: Scene) -> None:
    answer = stage.see(global_analytics, now=NOW)
    assert [(one.id, one.margin) for one in answer.weak_items] == [(scene.nowhere, 0.0), (scene.weak, 0.1)]
    assert answer.weak_items[0].title.startswith("https://a.example/")
    assert [one.id for one in answer.unplaced_items] == [scene.nowhere]
    assert answer.unplaced_count == 1


def test_pace_counts_artifacts_of_two_weeks(stage: Stage, scene: Scene) -> None:
    sea, wood = stage.see(global_analytics, now=NOW).pace_by_space
    assert (sea.space_name, sea.count, sea.count_before, sea.trend) == ("Sea", 4, 2, "flat")
    assert (wood.count, wood.count_before, wood.trend) == (3, 0, "up")


def test_the_intention_is_held_against_what_was_read(stage: Stage, scene: Scene) -> None:
    (sea,) = stage.see(global_analytics, now=NOW).intentions
    calibration = stage.res.embedder.calibration
    near = [
        float(calibrated(cosine, calibration.mu, calibration.tau))
        for cosine in (1 / 1.04**0.5, 0.2 / 1.04**0.5)
    ]
    tide = sum(one for at, one in enumerate(tides(stage)) if at != 2)
    reef = weight(stage, 3, "engaged") + weight(stage, 5, "engaged")
    assert sea.similarity == pytest.approx((tide * near[0] + reef * near[1]) / (tide + reef), rel=1e-5)
    assert sea.attention == pytest.approx((tide + reef) / (tide + reef + sum(oaks(stage))), rel=1e-9)
    assert (sea.sample_size, sea.nearest.name, sea.most_read.name) == (5, "Tide", "Tide")
    assert stage.see(space_analytics, scene.sea_space, now=NOW).intention.similarity == pytest.approx(
        sea.similarity
    )


def test_a_space_adds_up(stage: Stage, scene: Scene) -> None:
    sea = stage.see(space_analytics, scene.sea_space, now=NOW)
    assert sea.total_artifacts == 7
    assert sea.engagement_distribution == {"latent": 1, "discovered": 1, "engaged": 4, "saturated": 1}
    assert {source: n for source, n in sea.source_distribution.items() if n} == {"web": 6, "pdf": 1}
    assert [(one.domain, one.count) for one in sea.top_domains] == [("a.example", 5), ("deep.example", 1)]
    assert (sea.activity_level, sea.recent_artifact_count) == ("Medium", 6)
    assert sea.focus == pytest.approx(0.5)
    assert (sea.clarity, sea.clarity_sample) == (pytest.approx((0.9 + 0.1 + 0.4 + 0.5 + 2) / 6), 6)
    health = {one.name: (one.confidence, one.enough_data) for one in sea.subspace_health}
    assert health == {"Tide": (0.5, True), "Reef": (0.9, False), "Cliff": (0.0, False)}
    assert sum(one.attention for one in sea.subspace_health) == pytest.approx(1)
    coverage = [
        [one.name for one in some] for some in (sea.coverage.known, sea.coverage.starting, sea.coverage.gaps)
    ]
    assert coverage == [["Tide"], ["Reef"], ["Cliff"]]
    first = sea.influential_reads[0]
    assert (first.id, first.subspace_name, first.taught_share) == (scene.deep, "Tide", 0.1)
    assert [one.weight for one in sea.influential_reads] == pytest.approx(
        sorted([*tides(stage), weight(stage, 3, "engaged"), weight(stage, 5, "engaged")], reverse=True),
        rel=1e-9,
    )


def test_the_heaviest_reads_are_found_among_the_topics_of_the_heaviest(stage: Stage) -> None:
    """Fifteen topics and more than one page that weighs much in some: the answer is that of weighing every page."""
    write = stage.writer
    space = write.space("Heavy")
    topics = [write.topic(space, f"T{n}", vector(1), 3, 0.5) for n in range(15)]
    chosen = [(0, 0.1), (0, 0.2), (0, 0.3), (1, 0.1), (1, 0.1), (2, 5), *((n, 6 + n) for n in range(3, 15))]
    pages = {write.page(space, topics[topic], (days, "engaged", None)): days for topic, days in chosen}
    weights = {page: weight(stage, days, "engaged") for page, days in pages.items()}
    write.page(space, None, (0.1, "saturated", None))
    write.page(space, topics[3], (0.1, "latent", None), similarity=-1.0)

    def heaviest(since: float) -> list[int]:
        there = [page for page, days in pages.items() if days >= since]
        return sorted(there, key=lambda page: (-weights[page], page))[:10]

    now, then = (
        stage.see(space_analytics, space, now=NOW, as_of=at).influential_reads
        for at in (None, NOW - timedelta(days=5))
    )
    write.conn.execute("delete from misir.space where id = %s", [space])
    assert [one.id for one in now] == heaviest(0)
    assert [one.weight for one in now] == pytest.approx([weights[page] for page in heaviest(0)], rel=1e-9)
    assert [one.id for one in then] == heaviest(5)


def test_the_most_frequent_domains_are_shown_and_no_more(stage: Stage) -> None:
    write = stage.writer
    space = write.space("Domains")
    for name, times in (("c", 3), ("b", 1), ("a", 1), ("f", 2), ("e", 1), ("d", 1)):
        for _ in range(times):
            write.page(space, None, (1, "latent", None), domain=f"{name}.example")
    for _ in range(4):
        write.page(space, None, (1, "latent", None), domain=None)
    found = stage.see(space_analytics, space, now=NOW).top_domains
    write.conn.execute("delete from misir.space where id = %s", [space])
    assert [(one.domain[0], one.count) for one in found] == [("c", 3), ("f", 2), ("a", 1), ("b", 1), ("d", 1)]


def test_a_reading_that_became_known_late_counts_on_its_own_day(stage: Stage) -> None:
    """Its page was read again since: `captured_at` is the last reading, whichever was heard of first."""
    write = stage.writer
    space = write.space("Late")
    page = write.page(space, None, (1, "engaged", None))
    write.signal(page, 8, "latent", None, order=1)
    weeks = stage.see(focus_history, space, now=NOW).weeks
    assert [one.artifact_count for one in weeks[-3:]] == [1, 1, 0]
    pace = next(one for one in stage.see(global_analytics, now=NOW).pace_by_space if one.space_id == space)
    assert (pace.count, pace.count_before) == (1, 1)
    write.conn.execute("delete from misir.space where id = %s", [space])


def test_fit_is_shown_as_it_is_spread(stage: Stage, scene: Scene) -> None:
    found = stage.see(margin_distribution, scene.sea_space)
    assert (found.distribution, found.total, found.unplaced_count) == (
        {"weak": 1, "moderate": 1, "strong": 4},
        6,
        1,
    )
    assert [one.count for one in found.histogram] == [0, 1, 0, 0, 1, 1, 0, 0, 0, 3]
    assert found.enough_data


def test_focus_week_by_week_carries_on_where_nothing_changed(stage: Stage, scene: Scene) -> None:
    weeks = {one.week: one for one in stage.see(focus_history, scene.sea_space, now=NOW).weeks}
    assert len(weeks) == 26
    shown = [weeks[date(2026, 6, 15) - timedelta(weeks=back)] for back in (4, 3, 2, 1, 0)]
    then = pytest.approx((3 * 0.4 + 5 * 0.8) / 8)
    assert [one.focus for one in shown] == [None, then, then, 0.5, 0.5]
    assert [one.focus_sample for one in shown] == [0, 8, 8, 4, 4]
    assert [one.artifact_count for one in shown] == [0, 0, 2, 4, 0]
    assert [one.clarity for one in shown] == [None, None, pytest.approx(0.3), pytest.approx(2.9 / 3), None]
    assert [one.clarity_sample for one in shown] == [0, 0, 2, 3, 0]


def test_as_of_answers_as_of_then(stage: Stage, scene: Scene) -> None:
    """Twenty days ago: one page was only glanced at, another had been read long before, the rest was not there yet."""
    then = NOW - timedelta(days=15)
    sea = stage.see(space_analytics, scene.sea_space, now=NOW, as_of=then)
    assert sea.total_artifacts == 2
    assert sea.engagement_distribution == {"latent": 1, "discovered": 0, "engaged": 1, "saturated": 0}
    assert {one.name: (one.artifact_count, one.confidence) for one in sea.subspace_health} == {
        "Tide": (3, 0.4), "Reef": (5, 0.8), "Cliff": (0, 0.0)
    }  # fmt: skip
    weights = {one.id: one.weight for one in sea.influential_reads}
    assert weights == {
        scene.deep: pytest.approx(weight(stage, 40, "latent", 0.6, at=then)),
        scene.old: pytest.approx(weight(stage, 400, "engaged", rate="low", at=then)),
    }
    everything = stage.see(global_analytics, now=NOW, as_of=then)
    assert everything.activity_heatmap[-1].date == then.date()
    assert sum(one.count for one in everything.activity_heatmap) == 1
    assert (everything.weak_items, everything.unplaced_count) == ([], 0)
    assert stage.see(margin_distribution, scene.sea_space, as_of=then).total == 2
    assert stage.see(focus_history, scene.sea_space, now=NOW, as_of=then).weeks[-1].focus == pytest.approx(
        (3 * 0.4 + 5 * 0.8) / 8
    )


def test_nothing_read_is_not_enough_data(stage: Stage) -> None:
    empty = stage.writer.space("Empty", vector(1))
    found = stage.see(space_analytics, empty, now=NOW)
    assert (found.focus, found.clarity, found.clarity_sample, found.activity_level) == (None, None, 0, "Low")
    assert (found.intention.similarity, found.intention.sample_size) == (None, 0)
    spread = stage.see(margin_distribution, empty)
    assert (spread.total, spread.enough_data) == (0, False)
    long_ago = stage.see(global_analytics, now=NOW, as_of=NOW.replace(year=1990))
    assert (long_ago.overview.system_health, long_ago.overview.enough_data) == ("sparse", False)
    assert (long_ago.time_allocation, long_ago.pace_by_space) == ([], [])
    stage.writer.conn.execute("delete from misir.space where id = %s", [empty])


@pytest.mark.parametrize("view", [space_analytics, focus_history])
def test_an_unknown_space_is_not_found(stage: Stage, view: Any) -> None:
    with pytest.raises(MisirError, match="not found"):
        stage.see(view, 999_999, now=NOW)


def test_statements_do_not_grow_with_topics(stage: Stage) -> None:
    """Five topics, and five hundred."""
    write = stage.writer
    few, many = write.space("Few", vector(1)), write.space("Many", vector(1))
    counts = []
    for space, n_topics in ((few, 5), (many, 500)):
        write.topics(space, n_topics)
        answers = [stage.counted(view, space, now=NOW) for view in (space_analytics, focus_history)]
        assert len(answers[0][0].subspace_health) == n_topics
        counts.append(
            [n for _, n in answers]
            + [stage.counted(global_analytics, now=NOW)[1], stage.counted(margin_distribution, space)[1]]
        )
    assert counts[0] == counts[1]
