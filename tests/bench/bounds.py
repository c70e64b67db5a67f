"""How fast this machine could possibly be: what the arithmetic and the memory traffic alone would take."""

import threading
import time
from collections.abc import Callable

import numpy as np

from tests.bench.inputs import DataSet

# Per point and round of a fit: four basis functions from their polynomials (24), ten products and four right-hand sides
# of the normal equations (28), and the residual (8).
FLOPS_PER_POINT = 60
ROUNDS = 3
_PLANES_OUT = 5


def best(call: Callable[[], object], repeats: int = 5) -> float:
    """Return the shortest time of a call [s].

    Parameters
    ----------
    call : callable
        What to time.
    repeats : int, optional
        How often.

    Returns
    -------
    float
        Seconds.
    """
    times: list[float] = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def peak_flops() -> float:
    """Return the floating-point operations per second of one core, from the product of two matrices in float64."""
    n = 1024
    a = np.random.default_rng(0).standard_normal((n, n))
    return 2.0 * n**3 / best(lambda: a @ a)


def peak_bandwidth() -> float:
    """Return the bytes per second that one core reads and writes, from copying a large array."""
    source = np.ones(2**25)
    target = np.empty_like(source)
    return 2.0 * source.nbytes / best(lambda: np.copyto(target, source))


def read_rate(n_threads: int) -> float:
    """Return the bytes per second that some threads read together, from the scalar product of an array with itself.

    Parameters
    ----------
    n_threads : int
        How many.

    Returns
    -------
    float
        Bytes per second.
    """
    parts = np.array_split(np.ones(2**25), n_threads)

    def read() -> None:
        threads = [threading.Thread(target=np.dot, args=(part, part)) for part in parts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return sum(part.nbytes for part in parts) / best(read)


def fit_flops(data: DataSet) -> float:
    """Return the operations that fitting every column takes, with three rounds everywhere.

    Parameters
    ----------
    data : DataSet
        What is fitted.

    Returns
    -------
    float
        Number of operations.
    """
    points = 0
    reach = data.params.lrange
    for region in data.regions:
        good = (data.region_map == region) & np.isfinite(data.flux) & np.isfinite(data.alpha)
        total = np.concatenate([[0], np.cumsum(good.sum(axis=0))])
        i = np.arange(data.flux.shape[1])
        points += int(np.sum(total[np.minimum(i + reach, i.size)] - total[np.maximum(i - reach, 0)]))
    return float(points * FLOPS_PER_POINT * ROUNDS)


def oversample_bytes(data: DataSet) -> int:
    """Return the bytes that oversampling must read and write once: the inputs, and five planes of float64.

    Parameters
    ----------
    data : DataSet
        What is oversampled.

    Returns
    -------
    int
        Number of bytes.
    """
    inputs = data.flux.nbytes + data.alpha.nbytes + data.region_map.nbytes + data.alpha_os.nbytes
    return inputs + _PLANES_OUT * data.alpha_os.size * 8


def linear_bytes(data: DataSet) -> int:
    """Return the bytes that linear oversampling must touch: error, labels, and a plane of float32.

    Parameters
    ----------
    data : DataSet
        What is oversampled.

    Returns
    -------
    int
        Number of bytes.
    """
    return data.error.nbytes + data.region_map.nbytes + data.alpha_os.size * 4


def trace_bytes(data: DataSet) -> int:
    """Return the bytes that the trace image must touch: alpha, labels, and two planes of float32.

    Parameters
    ----------
    data : DataSet
        What the image is made for.

    Returns
    -------
    int
        Number of bytes.
    """
    return data.alpha.nbytes + data.region_map.nbytes + 2 * data.alpha.size * 4
