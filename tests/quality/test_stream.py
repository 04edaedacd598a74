from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from misir.embed.calibration import Calibration
from misir.orient.config import EngineConfig
from misir.orient.reading import EngagementLevel
from misir.orient.vectors import unit
from misir.quality.stream import Stream

MODEL = Calibration(
    mu=0.1,
    sigma=0.1,
    tau=0.8,
    novelty=0.4,
    novelty_item=0.5,
    sharpness=20.0,
    margin_gate=0.05,
    search_threshold=0.2,
)
CONFIG = EngineConfig()


def texts(*directions: int, spread: float = 0.3, seed: int = 0) -> Any:
    """A unit vector near each of these axes of 16 dimensions."""
    noise = np.random.default_rng(seed).normal(size=(len(directions), 16)) * spread / 4
    return unit(np.eye(16)[list(directions)] + noise)


def read(vectors: Any, config: EngineConfig = CONFIG, **options: Any) -> Stream:
    stream = Stream(MODEL, config, dimension=16, **options)
    for x in vectors:
        stream.capture(x)
    return stream


def test_three_texts_of_one_subject_are_a_topic_at_once() -> None:
    stream = Stream(MODEL, CONFIG, dimension=16)
    assert [stream.capture(x) for x in texts(0, 1, 0, 0, 1, 1)] == [None, None, None, 0, None, 1]
    assert stream.labels.tolist() == [0, 1, 0, 0, 1, 1]


def test_waiting_texts_join_the_topic_that_is_born() -> None:
    pool = unit([[1.0, 0.9, *[0.0] * 14]])
    stream = read(np.concatenate([pool, texts(0, 0, 0)]))
    assert stream.labels.tolist() == [0, 0, 0, 0]


def test_where_topics_are_declared_only_none_is_born() -> None:
    stream = Stream(MODEL, CONFIG, dimension=16, auto_topics=False)
    declared = stream.declare([np.eye(16)[0]])
    labels = [stream.capture(x) for x in texts(*[0, 1] * 20)]
    assert labels == [declared, None] * 20
    assert list(stream.topics) == [declared]


def test_a_named_topic_keeps_its_text() -> None:
    stream = Stream(MODEL, CONFIG, dimension=16)
    mine, other = stream.declare([np.eye(16)[0]]), stream.declare([np.eye(16)[1]])
    stream.capture(texts(1)[0], topic=mine)
    for x in texts(*[1] * 40):
        stream.capture(x)
    assert stream.topic_of(0) == mine
    assert set(stream.labels[1:].tolist()) == {other}


def test_deep_reading_teaches_more_than_a_glance() -> None:
    stream = Stream(MODEL, CONFIG, dimension=16)
    topic = stream.topics[stream.declare([np.eye(16)[0]])]
    stream.capture(texts(0)[0], EngagementLevel.LATENT)
    assert topic.state.weight_sum == pytest.approx(CONFIG.seed_weight + CONFIG.base_weight_latent)


def test_a_consolidation_mends_what_one_pass_got_wrong_and_replay_gives_the_same() -> None:
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 5, 300)
    vectors = texts(*truth.tolist(), spread=0.9, seed=4)
    one_pass, second_look = read(vectors, is_consolidating=False), read(vectors)
    assert one_pass.consolidations == []
    assert len(second_look.consolidations) == 15

    def agreement(stream: Stream) -> float:
        same = stream.labels[:, None] == stream.labels[None, :]
        return float((same == (truth[:, None] == truth[None, :])).mean())

    assert agreement(second_look) > max(0.95, agreement(one_pass))
    assert second_look.replay_difference() <= 1e-5
    assert one_pass.replay_difference() <= 1e-5


def test_the_same_texts_give_the_same_topics() -> None:
    vectors = texts(*np.random.default_rng(1).integers(0, 4, 90).tolist(), spread=0.8)
    assert (read(vectors).labels == read(vectors).labels).all()


def test_a_dissolved_topics_id_is_never_used_again() -> None:
    vectors = texts(*np.random.default_rng(2).integers(0, 6, 200).tolist(), spread=1.1)
    stream = read(vectors)
    assert set(stream.labels.tolist()) - {-1} == set(stream.topics)
    assert [topic.id for topic in stream.topics.values()] == list(stream.topics)


def test_a_pinned_topic_gains_nothing_at_a_consolidation() -> None:
    stream = Stream(MODEL, CONFIG, dimension=16)
    pinned = stream.declare([np.eye(16)[0]], is_pinned=True)
    for x in texts(*[0] * 3):
        stream.capture(x)
    stream.consolidate()
    assert stream.topics[pinned].members == [0, 1, 2]


def test_a_space_without_texts_consolidates_to_nothing() -> None:
    stream = Stream(MODEL, CONFIG, dimension=16)
    assert stream.consolidate().moved == ()
    assert stream.replay_difference() == 0.0


def test_thousands_of_texts_take_seconds() -> None:
    vectors = texts(*np.random.default_rng(5).integers(0, 16, 2000).tolist(), spread=0.8)
    started = time.process_time()
    read(vectors, is_consolidating=False)
    assert time.process_time() - started < 20
