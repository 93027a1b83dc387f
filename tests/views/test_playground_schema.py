"""What is asked for is checked, field by field, in one line."""

import pytest

from charrnn.errors import ConfigError
from charrnn.views.playground.openapi import GENERATE, SURPRISE
from charrnn.views.playground.schema import checked


def test_fields_that_are_missing_have_their_defaults():
    found = checked({"prime": "a"}, GENERATE)
    assert found["prime"] == "a"
    assert found["length"] == 300
    assert found["temperatures"] == [0.5, 0.8, 1.1]
    assert found["seed"] is None
    assert {*found} == {*GENERATE["properties"]}


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("length", 0, "length is 0; expected 1 to 20,000"),
        ("length", 10**30, "expected 1 to 20,000"),
        ("length", 1.5, "length is 1.5; expected a whole number"),
        ("length", True, "length is True; expected a whole number"),
        ("length", "5", "length is '5'; expected a whole number"),
        ("length", None, "length is None; expected a whole number"),
        ("temperatures", [], "temperatures has 0 values; expected 1 to 5"),
        ("temperatures", [1] * 6, "temperatures has 6 values; expected 1 to 5"),
        ("temperatures", [1, 101], r"temperatures\[1\] is 101; expected 0 to 100"),
        ("temperatures", [float("inf")], r"temperatures\[0\] is inf; expected"),
        ("temperatures", [float("nan")], r"temperatures\[0\] is nan; expected"),
        ("temperatures", [[1]], r"temperatures\[0\] is \[1\]; expected a number"),
        ("temperatures", {"0": 1}, "expected a list"),
        ("top_p", 0, "top_p is 0; expected 1e-09 to 1"),
        ("top_k", -1, "top_k is -1; expected 0 to 2,147,483,647"),
        (
            "seed",
            2**53,
            "expected 0 to 9,007,199,254,740,991",
        ),
        ("prime", "a" * 50_001, "prime has 50,001 characters; expected at most 50,000"),
        ("prime", 5, "prime is 5; expected a string"),
        ("on_unknown", "ignore", "on_unknown is 'ignore'; expected error, skip, map"),
        ("figures", 1, "figures is 1; expected true or false"),
        ("lenght", 5, "no field 'lenght'; expected some of model, prime, length"),
    ],
)
def test_a_wrong_field_is_named(field, value, words):
    with pytest.raises(ConfigError, match=words) as caught:
        checked({field: value}, GENERATE)
    assert len(str(caught.value)) < 200


def test_a_field_that_is_needed_is_named():
    with pytest.raises(ConfigError, match="text is missing"):
        checked({"prime": "a"}, SURPRISE)


@pytest.mark.parametrize("value", [None, [], "a", 5])
def test_the_body_is_an_object(value):
    with pytest.raises(ConfigError, match=r"the body is .*; expected an object"):
        checked(value, GENERATE)
