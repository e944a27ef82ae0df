"""The Hounsfield units inside a mask: mean, median and spread, from how often each value occurs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Tally:
    """How often each HU occurs.

    Args:
        lowest_hu: what the first count is for.
        counts: (N,) of HU that follow on each other; not all are 0.
    """

    lowest_hu: int
    counts: npt.NDArray[np.int64]

    @classmethod
    def of(cls, image: npt.NDArray[np.int16], mask: npt.NDArray[np.uint8]) -> Tally:
        """Count what lies inside a mask.

        Args:
            image: (X, Y, Z) int16, HU.
            mask: (X, Y, Z) uint8, nonzero inside; somewhere it is.
        """
        # Turned, so that both are walked as they lie in memory.
        inside = image.T[mask.T > 0]
        lowest = int(inside.min())
        return cls(lowest, np.bincount(inside.astype(np.int32) - lowest))

    @property
    def voxels(self) -> int:
        """How many there are."""
        return int(self.counts.sum())

    @property
    def mean_hu(self) -> float:
        """The mean."""
        return float(self.counts @ self._values) / self.voxels

    @property
    def std_hu(self) -> float:
        """The population standard deviation."""
        return float(np.sqrt(self.counts @ (self._values - self.mean_hu) ** 2 / self.voxels))

    @property
    def median_hu(self) -> float:
        """The median; of an even number the mean of the two in the middle."""
        upto = np.cumsum(self.counts)
        middle = [(self.voxels - 1) // 2, self.voxels // 2]  # of the sorted values
        return float(self._values[np.searchsorted(upto, middle, side="right")].mean())

    @property
    def _values(self) -> npt.NDArray[np.float64]:
        return np.arange(self.counts.size, dtype=np.float64) + self.lowest_hu
