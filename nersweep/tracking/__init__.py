"""MLflow: the store, what a run tells it, and what is read back. Nothing else in the project imports mlflow.

    uri = open_store(None, output_dir)
    with Run.start(uri, output_dir, experiment="conll2003", name="focal-g2-s1", params={"seed": 1}, tags={}) as run:
        run.metrics({"train/loss": 0.31}, step=40)
        run.model(folder, {"test/f1": 0.852}, step=3)
    for run in Tracker(uri).runs("tags.seed = '1'"): ...

What the store does not take waits in the run and is sent again later: a server that dies never stops a training. A run
that begins without it has an Away in the place of its Run.
mlflow is imported inside the functions, because that alone costs 2 s.
"""

from nersweep.tracking.reading import Tracked, Tracker
from nersweep.tracking.runs import Away, Run
from nersweep.tracking.stores import open_store, public, store_uri, ui_command

__all__ = ["Away", "Run", "Tracked", "Tracker", "open_store", "public", "store_uri", "ui_command"]
