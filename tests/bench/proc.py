"""How much memory a process uses, from the kernel's own books (Linux)."""

from pathlib import Path


def memory(key: str, process: int | str = "self") -> float:
    """Return an entry of the memory of a process that is alive.

    Parameters
    ----------
    key : str
        ``VmRSS``, what is in use, or ``VmHWM``, its peak.
    process : int or str, optional
        Number of the process; by default this one.

    Returns
    -------
    float
        Megabytes.
    """
    for line in Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(key):
            return float(line.split()[1]) / 1024.0
    raise KeyError(key)
