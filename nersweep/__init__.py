"""nersweep: compare losses and class weights for named-entity recognition, with statistics.

>>> import nersweep
>>> run = nersweep.run(loss="focal", focal_gamma=3)  # doctest: +SKIP
>>> run.test.f1  # doctest: +SKIP
0.8017
"""

from importlib import import_module

from nersweep.api import Comparison, Run, Sweep, compare, run, sweep
from nersweep.faults import UserError
from nersweep.version import __version__

# The rooms run and sweep have the names of functions. Imported for the first time later, a room
# would take the function's place in this module; so they are imported here, and put back.
for room in ("run", "sweep"):
    function = globals()[room]
    import_module(f"nersweep.{room}")
    globals()[room] = function

__all__ = ["Comparison", "Run", "Sweep", "UserError", "__version__", "compare", "run", "sweep"]
