"""`import nersweep.losses` costs what torch costs."""

import json
import subprocess
import sys

CODE = """
import json, sys, time
begin = time.perf_counter()
import torch
middle, before = time.perf_counter(), set(sys.modules)
import nersweep.losses
print(json.dumps([middle - begin, time.perf_counter() - middle, sorted(set(sys.modules) - before)]))
"""


def test_importing_the_losses_imports_torch_alone_and_takes_next_to_nothing_more():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    torch_seconds, more_seconds, modules = json.loads(done.stdout)
    ours = {name for name in modules if name.partition(".")[0] == "nersweep"}
    assert all(f"{name}.".startswith("nersweep.losses.") for name in ours - {"nersweep"}), ours
    roots = {name.partition(".")[0] for name in modules} - {"nersweep", "torch"}
    assert roots <= sys.stdlib_module_names, roots - sys.stdlib_module_names
    assert more_seconds < 0.1 * torch_seconds


def test_class_balanced_weights_are_a_name_of_the_package():
    import nersweep.losses
    from nersweep.losses.batch_balanced import effective_weights

    assert nersweep.losses.effective_weights is effective_weights
