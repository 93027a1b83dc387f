"""The oldest dependencies, as scripts/test_oldest installs them."""

import runpy

from places import ROOT

SETUP = """
[options]
install_requires =
    numpy>=1.26
    click>=8.1
[options.extras_require]
fast =
    numba>=0.59
zst =
    zstandard>=0.22
plot =
    plotext>=5.3,<6
dev =
    pytest>=8
"""


def test_the_oldest_versions_are_the_lower_bounds():
    oldest = runpy.run_path(str(ROOT / "scripts" / "oldest.py"))["oldest"]
    assert oldest(SETUP) == [
        *("numpy==1.26", "click==8.1", "numba==0.59", "zstandard==0.22"),
        "plotext==5.3",
    ]


def test_every_dependency_has_a_lower_bound_and_no_other():
    oldest = runpy.run_path(str(ROOT / "scripts" / "oldest.py"))["oldest"]
    bounds = oldest((ROOT / "setup.cfg").read_text(encoding="utf-8"))
    assert len(bounds) > 10
    assert all(bound.count("==") == 1 and "," not in bound for bound in bounds)
