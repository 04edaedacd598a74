import json
from dataclasses import FrozenInstanceError

import pytest

from misir.orient.config import EngineConfig


def test_a_config_survives_json() -> None:
    config = EngineConfig(version=7, learning_rate=0.2, engaged_min_ms=1)
    assert EngineConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_a_value_stored_before_it_existed_has_its_default() -> None:
    assert EngineConfig.from_json({"version": 3}) == EngineConfig(version=3)


def test_a_config_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        EngineConfig().version = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({"learning_rat": 0.1}, "no value called learning_rat"),
        ({"learning_rate": "0.1"}, "learning_rate in the engine config must be a finite number"),
        ({"learning_rate": True}, "must be a finite number, not True"),
        ({"learning_rate": float("nan")}, "must be a finite number"),
        ({"version": 1.5}, "version in the engine config must be a whole number"),
        ({"min_artifacts": None}, "must be a whole number, not None"),
    ],
)
def test_a_wrong_value_is_named(stored: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EngineConfig.from_json(stored)
