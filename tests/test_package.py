"""The built package works without the checkout: wheel and sdist are complete, and a run works."""

import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

CHECKOUT = Path(__file__).parents[1]
SMALL = ["data.train=60", "data.dev=20", "data.test=20", "train.epochs=1", "device=cpu"]
HEAVY = {"torch", "transformers", "mlflow", "datasets", "optuna", "sklearn", "matplotlib"}


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder with the sdist, built from the checkout, and the wheel, built from the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, CHECKOUT, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    return next(built.glob("*.whl"))


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """A new environment with nersweep from the wheel and the other packages from this environment.

    Those come in as a path, so that its .pth files, and the editable nersweep, are not read.
    """
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    python = folder / "bin" / "python"
    install = [
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--disable-pip-version-check",
        wheel,
    ]
    run(sys.executable, "-m", "pip", "--python", python, *install, cwd=folder)
    packages = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "dependencies.pth").write_text("\n".join(packages) + "\n")
    return folder


def checkout_files(folder: str, pattern: str) -> set[str]:
    files = {file.relative_to(CHECKOUT).as_posix() for file in (CHECKOUT / folder).rglob(pattern)}
    return {name for name in files if "__pycache__" not in name}


def test_the_wheel_holds_every_module_and_configuration(wheel):
    expected = checkout_files("nersweep", "*.py") | checkout_files("nersweep/report", "*.[chj]*")
    expected.add("nersweep/py.typed")
    expected |= {
        f"nersweep/{file}" for file in checkout_files("conf", "*.yaml") | {"conf/__init__.py"}
    }
    held = set(zipfile.ZipFile(wheel).namelist())
    about = {name for name in held if ".dist-info/" in name}
    assert held - about == expected
    assert any(name.endswith("/licenses/LICENSE") for name in about)


def test_the_sdist_holds_what_the_wheel_is_built_from(built):
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    expected = (
        checkout_files("nersweep", "*.py")
        | checkout_files("nersweep/report", "*.[chj]*")
        | checkout_files("conf", "*.yaml")
    )
    assert expected | {"pyproject.toml", "README.md", "LICENSE", "conf/__init__.py"} <= held


def test_the_environment_sees_the_wheel_and_not_the_checkout(environment, tmp_path):
    code = "import nersweep, nersweep.conf; print(nersweep.__file__, nersweep.conf.__file__)"
    for file in run(environment / "bin" / "python", "-c", code, cwd=tmp_path).stdout.split():
        assert Path(file).is_relative_to(environment)


def test_help_from_the_wheel_shows_the_options(environment, tmp_path):
    done = run(environment / "bin" / "python", "-m", "nersweep", "--help", cwd=tmp_path)
    assert {file.stem for file in (CHECKOUT / "conf" / "loss").glob("*.yaml")} <= set(
        re.findall(r"\w+", done.stdout)
    )


def test_the_console_script_from_the_wheel_runs_to_a_result(environment, tmp_path):
    run(environment / "bin" / "nersweep", "loss=focal", "focal_gamma=3", *SMALL, cwd=tmp_path)
    (file,) = tmp_path.glob("outputs/runs/*/result.json")
    result = json.loads(file.read_text(encoding="utf-8"))
    assert result["status"] == "finished"
    assert result["config"]["focal_gamma"] == 3


def test_help_is_quick_because_it_imports_nothing_heavy(tmp_path):
    done = run(sys.executable, "-X", "importtime", "-m", "nersweep", "--help", cwd=tmp_path)
    imported = {
        line.rpartition("|")[2].strip()
        for line in done.stderr.splitlines()
        if line.startswith("import time:")
    }
    assert "nersweep.faults" in imported
    assert not {module.partition(".")[0] for module in imported} & HEAVY
