"""Processes forked after the imports of a run, which take 8 s, and before any computation."""

import multiprocessing
import os
import sys

from nersweep import __main__ as cli

FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(
    [
        "nersweep.run.execute",
        "nersweep.sweep.launch",
        "mlflow.store.tracking.sqlalchemy_store",
        "nersweep.plotting",
    ]
)


def run_command(arguments, folder):
    """Run the command in the folder, in such a process; its output goes to out-PID and err-PID."""
    import torch

    torch.set_num_threads(1)
    os.chdir(folder)
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{name}-{os.getpid()}", os.O_WRONLY | os.O_CREAT), number)
    sys.argv = ["nersweep", *arguments]
    cli.main()
