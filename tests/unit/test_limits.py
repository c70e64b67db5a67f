"""What a hostile or hasty input may cost: other people's pixels, memory, threads."""

import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pixtrace.trace import linear_oversample
from pixtrace.trace.oversample import alpha_on_grid, oversample_planes
from tests.reference import PROJECT
from tests.strategies.small import SmallScene, small_scene

SCENE = small_scene()

STARVED = """
import resource
import numpy as np
from pixtrace.trace import linear_oversample
from pixtrace.trace.oversample import alpha_on_grid, fine_rows
from tests.strategies.small import small_scene

scene, factor = small_scene(n_regions=1), 500_000
model = scene.fit()
alpha_os = np.broadcast_to(np.float64(0), (scene.flux.shape[0] * factor, scene.flux.shape[1]))
resource.setrlimit(resource.RLIMIT_AS, (1_500_000_000,) * 2)
for call in (
    lambda: model.oversample(scene.flux, scene.alpha, scene.region_map, factor, alpha_os),
    lambda: linear_oversample(scene.flux, scene.region_map, factor, 3),
    lambda: alpha_on_grid(scene.alpha, scene.region_map, factor),
    lambda: fine_rows(19, factor * 40),
):
    try:
        call()
    except MemoryError as error:
        print(type(error).__name__)
"""


@pytest.mark.parametrize(
    ("stray", "label", "rows"), [((5, 7), 2, slice(13, 38)), ((36, 7), 1, slice(44, 70))], ids=["below", "above"]
)
def test_a_stray_label_changes_no_other_region(stray: tuple[int, int], label: int, rows: slice) -> None:
    """A region that has a pixel in the midst of another must not write over that one."""
    model = SCENE.fit()
    labels = SCENE.region_map.copy()
    labels[stray] = label
    np.testing.assert_array_equal(
        SCENE.but(region_map=labels).oversample(model).full_trace[rows, 7],
        SCENE.oversample(model).full_trace[rows, 7],
    )
    with_stray, without = (linear_oversample(SCENE.flux, m, 2, 3) for m in (labels, SCENE.region_map))
    np.testing.assert_array_equal(with_stray[rows, 7], without[rows, 7])
    with_stray_alpha, alpha = (alpha_on_grid(SCENE.alpha, m, 2) for m in (labels, SCENE.region_map))
    np.testing.assert_array_equal(with_stray_alpha[rows, 7], alpha[rows, 7])


def test_ctrl_c_while_large_planes_are_made() -> None:
    """Gigabytes are filled with NaN before the first column is oversampled; that stops too."""
    scene = small_scene(40, 3000, n_regions=1)
    model, factor = scene.fit(), 600
    alpha_os = np.broadcast_to(np.float64(0), (scene.flux.shape[0] * factor, 3000))

    def press(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, press)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        with pytest.raises(KeyboardInterrupt):
            oversample_planes(model, scene.flux, scene.alpha, scene.region_map, factor, alpha_os)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_memory_that_is_refused_is_an_error_and_not_the_end(tmp_path: Path) -> None:
    """Under a limit, as in a container, the interpreter lives on."""
    done = subprocess.run(
        [sys.executable, "-c", STARVED],
        cwd=tmp_path,
        env={"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.split()) == (0, ["MemoryLimitError"] * 4), done.stderr


def test_many_regions_do_not_cost_memory_for_all_columns_each() -> None:
    n = 500
    labels = np.arange(1, n * n + 1, dtype=np.int32).reshape(n, n)
    rows = np.indices((n, n))[0].astype(np.float64)
    model = SmallScene(flux=rows, error=None, alpha=rows, region_map=labels).fit()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    model.oversample(rows, rows, labels, 1, rows)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 300_000  # kB; one entry per region and column would be 2 GB


def test_more_knots_than_points_are_refused() -> None:
    """The points cannot determine them, and laying a million knots would take long."""
    assert SCENE.fit(spline_bkpt=2**20, space_ratio=np.inf, col_index=range(4)).n_columns == 0


def test_pools_of_threads_are_not_kept_for_ever() -> None:
    for n in range(1, 40):
        SCENE.fit(n_threads=n)
    status = Path("/proc/self/status")
    if status.exists():  # Linux tells how many threads there are
        (n_threads,) = (int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("Threads"))
        assert n_threads < 200  # all of them would be 780
