"""The runs of a sweep in MLflow's own UI, in Chromium without a window."""

import json
import socket

import pytest
from forked import FORKED, run_command

from nersweep.tracking.stores import open_store

pytestmark = pytest.mark.engine
ARGUMENTS = (
    "loss=cross_entropy,focal", "data.train=100", "data.dev=40", "data.test=20",
    "train.epochs=3", "train.batch_size=8", "train.lr=1e-2",
    "model.hidden=16", "model.layers=1", "model.heads=2", "device=cpu",
)  # fmt: skip
COMPARED = ("cross_entropy-s1", "focal-g2-s1")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """The folder of a sweep's outputs."""
    folder = tmp_path_factory.mktemp("sweep") / "outputs"
    process = FORKED.Process(
        target=run_command, args=(["-m", *ARGUMENTS, f"output_dir={folder}"], folder.parent)
    )
    process.start()
    process.join(120)
    assert process.exitcode == 0
    return folder


@pytest.fixture(scope="module")
def results(sweep):
    """What the runs left in result.json, by their names."""
    actual = [json.loads(file.read_text("utf-8")) for file in sweep.glob("runs/*/result.json")]
    return {result["name"]: result for result in actual}


@pytest.fixture(scope="module")
def tracked(sweep):
    """The runs as the store has them, by their names; that of the sweep is `sweep`."""
    from mlflow import MlflowClient

    client = MlflowClient(open_store(None, sweep))
    runs = client.search_runs([client.get_experiment_by_name("nersweep").experiment_id])
    return {"sweep" if "kind" in run.data.tags else run.info.run_name: run for run in runs}


@pytest.fixture(scope="module")
def ui(sweep, serve):
    """The address of the UI over that store."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    serve(open_store(None, sweep), port)
    return f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def browser(browser):
    """A window that shows all columns, without MLflow's assistant of the first visit."""
    browser.set_window_size(1800, 1000)
    closed = """
        if (location.protocol === "http:") {
            localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true");
            localStorage.setItem("mlflow.assistant.panelOpen_v1", "false");
        }
    """
    browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": closed})
    return browser


@pytest.fixture
def at_home(requests, ui):
    """Nothing is asked of any other machine."""
    yield
    addresses = requests()
    assert addresses and [address for address in addresses if not address.startswith(ui)] == []


@pytest.fixture
def wait(browser, at_home):
    """wait(script, *arguments): the first answer of the script that is not empty, within 30 s."""
    from selenium.webdriver.support.wait import WebDriverWait

    def until(script, *arguments):
        return WebDriverWait(browser, 30).until(
            lambda page: page.execute_script(script, *arguments), script
        )

    return until


@pytest.fixture
def table(browser, ui, wait, tracked):
    """The complete table of the experiment's runs: {column: text} for each, from top to bottom."""
    browser.get("about:blank")  # else the UI may keep what it shows
    experiment = tracked["sweep"].info.experiment_id
    browser.get(f"{ui}/#/experiments/{experiment}/runs?viewStateShareKey=f1")
    rows = """
        const rows = {};
        for (const cell of document.querySelectorAll("[row-id] [col-id]")) {
            const row = cell.closest("[row-id]");
            rows[row.getAttribute("row-index")] ??= {id: row.getAttribute("row-id")};
            const text = cell.innerText.split("\\n").pop().trim();
            rows[row.getAttribute("row-index")][cell.getAttribute("col-id")] = text;
        }
        const sorted = Object.keys(rows).sort((a, b) => a - b).map((index) => rows[index]);
        const complete = sorted.every((row) => "metrics.`test/f1`" in row);
        return sorted.length === arguments[0] && complete && sorted;
    """
    return wait(rows, len(tracked))


def test_the_runs_are_in_a_table_with_their_f1_the_best_on_dev_first(table, results, tracked):
    assert len(results) == 2 and [row["id"] for row in table[2:]] == [tracked["sweep"].info.run_id]
    for row in table[:2]:
        result = results[row["attributes.`Run Name`"]]
        assert row["id"] == tracked[result["name"]].info.run_id
        for name, split in {"dev/best_f1": "dev", "test/f1": "test"}.items():
            assert float(row[f"metrics.`{name}`"]) == pytest.approx(result[split]["f1"])
        assert (row["tags.`loss`"], row["tags.`seed`"]) == (
            result["config"]["choice"]["loss"],
            str(result["config"]["seed"]),
        )
    best = sorted((result["dev"]["f1"] for result in results.values()), reverse=True)
    assert [float(row["metrics.`dev/best_f1`"]) for row in table[:2]] == pytest.approx(best)
    assert best[0] > best[-1]


@pytest.mark.long  # what MLflow makes of our params, which the last test checks
def test_the_comparison_of_two_runs_shows_their_differences(browser, wait, table, tracked):
    for name in COMPARED:
        box = f"[row-id='{tracked[name].info.run_id}'] .ag-selection-checkbox input"
        browser.find_element("css selector", box).click()
    wait(
        "return document.querySelector('[data-testid=runs-compare-button]:not([disabled])')"
    ).click()
    only = wait("return document.querySelector('[aria-label=\"Parameters - Show diff only\"]')")
    parameters = """
        const texts = (cells) => cells.map((cell) => cell.innerText.trim());
        const named = (table) => Object.fromEntries([...table.rows].map((row) =>
            [row.cells[0].innerText, texts([...row.cells].slice(1))]));
        const tables = [...document.querySelectorAll(".mlflow-compare-run-table")].map(named);
        const params = tables.find((table) => "loss" in table && !("fingerprint" in table));
        return params && "data" in params === arguments[0] && [tables[0], params];
    """
    about, every = wait(parameters, True)
    assert set(every) >= {"data", "loss", "seed", "train.epochs", "focal_gamma"}
    only.click()
    _, differing = wait(parameters, False)
    names = about["Run Name:"]
    assert sorted(names) == sorted(COMPARED)
    assert {key: dict(zip(names, values, strict=True)) for key, values in differing.items()} == {
        "loss": {"cross_entropy-s1": "cross_entropy", "focal-g2-s1": "focal"},
        "focal_gamma": {"cross_entropy-s1": "", "focal-g2-s1": "2.0"},
    }


@pytest.mark.long  # what MLflow makes of our metrics, which tests/tracking checks
def test_a_run_shows_its_command_and_its_charts_over_steps(browser, wait, ui, results, tracked):
    name = "focal-g2-s1"
    run, result = tracked[name].info, results[name]
    page = f"{ui}/#/experiments/{run.experiment_id}/runs/{run.run_id}"
    browser.get(page)
    command = wait("return [...document.querySelectorAll('code')].map((one) => one.innerText)[0]")
    assert command.startswith("python -m nersweep ")
    assert {"loss=focal", "train.epochs=3", "data.train=100"} <= set(command.split())
    assert (
        wait("return document.body.innerText.match(/sweep-[0-9a-f]{8}/)")[0]
        == tracked["sweep"].info.run_name
    )
    browser.get(f"{page}/model-metrics")
    steps = """
        const plots = [...document.querySelectorAll(".js-plotly-plot")];
        const lines = plots.flatMap((plot) => plot.data ?? []);
        const chart = lines.find((line) => line.metricKey === "dev/f1" && line.x.length);
        return chart && [[...chart.x], [...chart.y]];
    """
    actual, scores = wait(steps)
    assert actual == [1, 2, 3]
    assert scores[result["best_epoch"] - 1] == pytest.approx(result["dev"]["f1"])


def test_runs_have_the_same_metrics_and_params_without_noise(tracked):
    """Flat, short, set, and only what can change a result; the runs of the sweep stand below it."""
    parent = tracked["sweep"].info.run_id
    runs = [run for name, run in tracked.items() if name != "sweep"]
    assert {run.data.tags["mlflow.parentRunId"] for run in runs} == {parent}
    assert len({frozenset(run.data.metrics) for run in runs}) == 1
    assert {"dev/f1", "test/f1", "test/types/PER/f1", "train/loss", "train/B-PER/weight"} <= set(
        runs[0].data.metrics
    )
    for run in runs:
        params = run.data.params
        assert "None" not in params.values() and len(params) < 45
        assert params["loss"] == run.data.tags["loss"] and params["seed"] == run.data.tags["seed"]
        noise = (
            "output_dir",
            "device",
            "report",
            "dry_run",
            "rerun",
            "study",
            "tracking",
            "choice",
            "loss.gamma",
        )
        assert [name for name in params if "_target_" in name or name.startswith(noise)] == []
