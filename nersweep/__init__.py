"""nersweep: compare losses and class weights for named-entity recognition, with statistics.

>>> import nersweep
>>> run = nersweep.run(loss="focal", focal_gamma=3)  # doctest: +SKIP
>>> run.test.f1  # doctest: +SKIP
0.8017
"""

from nersweep.api import Comparison, Run, Sweep, compare, run, sweep
from nersweep.faults import UserError
from nersweep.version import __version__

__all__ = ["Comparison", "Run", "Sweep", "UserError", "__version__", "compare", "run", "sweep"]
