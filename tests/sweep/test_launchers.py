"""How many jobs run at once, and with how many threads each; which overrides are theirs."""

import pytest

from nersweep.sweep import launchers


def test_cores_are_shared_out(monkeypatch):
    monkeypatch.setattr(launchers, "cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert [launchers.threads(n) for n in (1, 2, 3, 8, 20)] == [8, 4, 2, 1, 1]
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert launchers.threads(2) == 5


@pytest.mark.parametrize(
    ("launcher", "jobs", "expected"),
    [
        ({"_target_": "a.BasicLauncher"}, 9, 1),
        ({"_target_": "a.JoblibLauncher", "n_jobs": 2}, 9, 2),
        ({"_target_": "a.JoblibLauncher", "n_jobs": 4}, 3, 3),
        ({"_target_": "a.JoblibLauncher", "n_jobs": -1}, 99, 8),
        ({"_target_": "a.JoblibLauncher", "n_jobs": -2}, 99, 7),
        ({"_target_": "a.LocalLauncher"}, 5, 5),
        ({"_target_": "a.SlurmLauncher"}, 5, None),
        ({"_target_": "a.RayLauncher"}, 5, None),
    ],
)
def test_how_many_jobs_run_at_once(launcher, jobs, expected, monkeypatch):
    monkeypatch.setattr(launchers, "cores", lambda: 8)
    assert launchers.concurrency(launcher, jobs) == expected


def test_a_job_gets_its_own_overrides_without_hydra_s():
    overrides = ("seed=1", "hydra/launcher=joblib", "+hydra.launcher.x=1", "~hydra.y", "+hydrate=1")
    assert launchers.without_hydra(overrides) == ["seed=1", "+hydrate=1"]
