"""What `import nersweep.losses` imports and offers."""

import json
import subprocess
import sys
from pathlib import Path

import nersweep.losses

CODE = """
import json, sys
import torch
before = set(sys.modules)
import nersweep.losses
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_importing_the_losses_imports_nothing_but_torch():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    modules = json.loads(done.stdout)
    ours = {name for name in modules if name.partition(".")[0] == "nersweep"}
    rooms = {".".join(name.split(".")[:2]) for name in ours}
    api = {"nersweep.api", "nersweep.run", "nersweep.sweep", "nersweep.version"}
    assert rooms == {"nersweep", "nersweep.losses", "nersweep.faults"} | api
    assert not [name for name in ours if name.startswith(("nersweep.run.", "nersweep.sweep."))]
    roots = {name.partition(".")[0] for name in modules} - {"nersweep", "torch"}
    assert roots <= sys.stdlib_module_names


def test_every_loss_is_exported_by_name():
    files = {file.stem for file in Path(nersweep.losses.__file__).parent.glob("[!_]*.py")}
    exported = {getattr(nersweep.losses, name).__module__ for name in nersweep.losses.__all__}
    assert exported == {f"nersweep.losses.{file}" for file in files}
