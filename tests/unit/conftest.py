"""What tests of pixel maps share: each runs on the stack in Rust and on its slow twin."""

from typing import Any

import pytest

import pixtrace.scan.block
from pixtrace.scan.stack import MapStack
from tests.oracles.map_stack import MapStack as SlowMapStack


@pytest.fixture(params=[MapStack, SlowMapStack], ids=["native", "oracle"])
def stack_class(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make pixel maps use one kind of stack or the other."""
    monkeypatch.setattr(pixtrace.scan.block, "MapStack", request.param)
    return request.param
