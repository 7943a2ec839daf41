"""Which dtype a machine computes fastest in."""

import pytest
import tensorflow as tf

from models.capabilities import fastest_dtype


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [([(8, 0)], "bfloat16"), ([(9, 0), (8, 6)], "bfloat16"), ([(9, 0), (7, 5)], "float32"), ([None], "float32")],
)
def test_gpus_decide_whatever_the_processor_can(capabilities, expected, monkeypatch):
    details = [{"compute_capability": own} if own else {} for own in capabilities]
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: range(len(details)))
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: details[gpu])
    assert fastest_dtype() == expected
