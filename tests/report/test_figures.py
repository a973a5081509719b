"""The pictures show the numbers of the comparison, of whatever names, the same each time."""

import warnings
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from finished import epoch, finished_result
from matplotlib import rcParams
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager

from nersweep import plotting
from nersweep.evaluation import inference
from nersweep.evaluation.analysis import Diagram
from nersweep.evaluation.inference import Contrast
from nersweep.report.comparison import Comparison
from nersweep.report.figures.captions import complete, facts
from nersweep.report.figures.drawing import looks, wrap
from nersweep.report.figures.files import write_figures
from nersweep.report.figures.scores import (
    f1,
    over_knob,
    over_two_knobs,
    per_type,
    precision_recall,
    time,
    verdict,
)
from nersweep.report.figures.training import (
    ENTITIES,
    OUTSIDE,
    confusion,
    effective_weights,
    gradient_norms,
    learning_curves,
    reliability,
)
from nersweep.report.records import Record
from nersweep.report.reference import Claim
from nersweep.report.rows import Row

HARD = "$a_1$<b>&x"


def run(setting, seed, score=0.5, history=(0.5,), **knobs):
    """A run with this F1, and as many words in all bins."""
    return Record(
        finished_result(setting, seed, score, config=knobs),
        "test",
        epochs=[epoch(number, value) for number, value in enumerate(history, 1)],
        losses=[(1, 4.0), (2, 1.0)],
        confusion=np.eye(5, dtype=int),
    )


def row(setting, *scores, name=None, interval=(0.4, 0.8), claim=None, contrast=None, **knobs):
    records = tuple(run(setting, seed, score, **knobs) for seed, score in enumerate(scores, 1))
    fields = {"interval": interval, "claim": claim or Claim(), "contrast": contrast}
    return Row(name or setting, records, **fields)


def compared(*rows, baseline="cross_entropy"):
    return Comparison(rows, baseline, "test")


def against(points, low, high):
    verdict = inference.verdict(low, high, 0.5)
    return Contrast("", points, 1.0, low, high, 0.5, 2, True, 1.0, 0.0, 1.0, verdict)


def drawn(figure, panel=0):
    """Label -> what is drawn with it."""
    handles, labels = figure.axes[panel].get_legend_handles_labels()
    return dict(zip(labels, handles, strict=True))


def test_f1_shows_means_intervals_seeds_the_baseline_and_claims():
    comparison = compared(
        row("focal", 0.7, 0.9, interval=(0.61, 0.99), claim=Claim(f1=91.2)),
        row("cross_entropy", 0.5, 0.6, interval=(0.45, 0.65)),
    )
    parts = drawn(f1(comparison))
    assert parts["mean"].get_xydata() == pytest.approx(np.array([[80, 0], [55, 1]]))
    lines = [segment.tolist() for segment in parts["95% interval"].get_segments()]
    assert np.array(lines) == pytest.approx(np.array([[[61, 0], [99, 0]], [[45, 1], [65, 1]]]))
    assert parts["one seed"].get_xdata() == pytest.approx([70, 90, 50, 60])
    assert parts["claimed"].get_xydata() == pytest.approx(np.array([[91.2, 0]]))
    assert parts["mean of the baseline"].get_xdata() == pytest.approx([55, 55])


def test_the_picture_of_verdicts_shows_intervals_by_verdict_and_the_resolution():
    comparison = compared(
        row("focal", 0.6, 0.6, contrast=against(1.0, 0.2, 1.5)),
        row("dice", 0.4, 0.4, contrast=against(-10, -20, -5)),
        row("crf", 0.6, 0.6, contrast=against(1.5, -1, 3)),
        row("ghm", 0.5, 0.5, contrast=against(0.1, -0.1, 0.3)),
        row("gce", 0.5, contrast=against(9, -np.inf, np.inf)),
        row("cross_entropy", 0.5, 0.5),
    )
    figure = verdict(comparison)
    axes = figure.axes[0]
    parts = drawn(figure)
    points = {name: parts[name].get_xydata().tolist() for name in parts if "within" not in name}
    assert points == {
        "undecided": [[1.5, 0]],  # the best on top
        "better": [[1.0, 1]],
        "practically the same": [[0.1, 2]],
        "worse": [[-10, 3]],
    }
    lines = [line.get_xydata().tolist() for line in axes.lines if len(line.get_xdata()) == 2]
    assert [[0.2, 1], [1.5, 1]] in lines and [[-20, 3], [-5, 3]] in lines
    band = parts["within ±0.5 points"]
    assert (band.get_x(), band.get_width()) == (-0.5, 1.0)
    assert len({line.get_marker() for line in axes.lines if line.get_label() in points}) == 4


def test_types_show_their_mean_and_the_rarest_in_training_is_marked():
    (axes,) = per_type(compared(row("focal", 0.4, 0.6), row("cross_entropy", 0.2, 0.2))).axes
    assert [text.get_text() for text in axes.texts] == ["50.0", "25.0", "20.0", "10.0"]
    (frame,) = axes.patches
    assert (frame.get_x(), frame.get_width(), frame.get_height()) == (0.5, 1, 2)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["LOC\n3", "PER\n9"]


def test_lines_of_equal_f1_have_it():
    figure = precision_recall(compared(row("focal", 0.7, 0.9), row("cross_entropy", 0.4, 0.6)))
    levels = {float(text.get_text().split()[1]): text.xy for text in figure.axes[0].texts}
    assert len(levels) > 2
    for level, (recall, precision) in levels.items():
        assert 2 * recall * precision / (recall + precision) == pytest.approx(level)
    assert drawn(figure)["focal"].get_xydata() == pytest.approx(np.array([[80, 80]]))


def test_curves_continue_with_the_seeds_still_in_training():
    rows = [run("focal", 1, history=(0.2, 0.4)), run("focal", 2, history=(0.4, 0.6, 0.9))]
    figure = learning_curves(compared(Row("focal", tuple(rows)), baseline=None))
    assert drawn(figure)["focal"].get_xydata() == pytest.approx(
        np.array([[1, 30], [2, 50], [3, 90]])
    )
    assert drawn(figure, 1)["focal"].get_xydata() == pytest.approx(
        np.array([[1, 0.5], [2, 0.25], [3, 0.5 / 3]])
    )
    assert "nats per word" in figure.axes[1].get_ylabel()


def test_cross_entropy_that_is_unknown_is_not_drawn():
    def older(record):
        epochs = [replace(epoch, cross_entropy=None) for epoch in record.epochs]
        return replace(record, epochs=epochs)

    old, new = older(run("focal", 1, history=(0.2, 0.4))), run("dice", 1, history=(0.3, 0.4))
    rows = [Row("focal", (old,)), Row("dice", (new,))]
    figure = learning_curves(compared(*rows, baseline=None))
    assert set(drawn(figure, 1)) == {"dice"} and set(drawn(figure)) == {"focal", "dice"}
    alone = compared(rows[0], baseline=None)
    assert len(learning_curves(alone).axes) == 1 and "losses" not in facts(alone)


def test_one_epoch_is_one_tick():
    figure = learning_curves(compared(row("focal", 0.5), baseline=None))
    figure.draw_without_rendering()
    low, high = figure.axes[0].get_xlim()
    assert [tick for tick in figure.axes[0].get_xticks() if low <= tick <= high] == [1]


def test_entities_and_words_outside_are_told_apart_in_grey_too():
    for axes in gradient_norms(compared(row("focal", 0.5), baseline=None)).axes[:2]:
        widths = {patch.get_edgecolor()[:3]: patch.get_linewidth() for patch in axes.patches}
        assert widths[to_rgb(ENTITIES)] > 1.5 * widths[to_rgb(OUTSIDE)]


def test_reliability_weighs_seeds_by_their_words():
    one, other = run("focal", 1), run("focal", 2)
    for record, counts, accuracy in ((one, 10, 1.0), (other, 30, 0.5)):
        bins = Diagram([0] * 14 + [counts], [None] * 14 + [0.95], [None] * 14 + [accuracy])
        calibration = record.result.analysis.calibration
        groups = replace(calibration.test, entities=bins)
        calibration = replace(calibration, test=groups)
        record.result.analysis = replace(record.result.analysis, calibration=calibration)
    figure = reliability(compared(Row("focal", (one, other)), baseline=None))
    assert figure.axes[0].lines[1].get_xydata() == pytest.approx(np.array([[0.95, 0.625]]))
    (dots,) = figure.axes[0].collections
    assert not dots.get_clip_on()  # the largest reach over the frame


def test_a_weight_is_what_a_loss_makes_of_cross_entropys_gradient():
    twice = run("focal", 1)
    twice.epochs[0].gradients.train.pulls[1] = [100.0] * 30
    twice.epochs[0].gradients.train.words[1][0] = 3.0  # too few to tell
    figure = effective_weights(compared(Row("focal", (twice,)), row("cross_entropy", 0.5)))
    outside, inside = (drawn(figure, panel)["focal"].get_ydata() for panel in (0, 1))
    assert (outside == 1).all() and np.isnan(inside[0]) and (inside[1:] == 2).all()
    assert (drawn(figure, 1)["cross_entropy"].get_ydata() == 1).all()


def test_confusion_takes_the_labels_of_a_type_together():
    record = run("focal", 1)
    counts = np.zeros((5, 5), dtype=int)  # O B-LOC I-LOC B-PER I-PER
    counts[1, 1], counts[1, 2], counts[2, 4], counts[0, 0] = 1, 1, 2, 7
    figure = confusion(compared(Row("focal", (replace(record, confusion=counts),)), baseline=None))
    texts = {text.get_position(): text.get_text() for text in figure.axes[0].texts}
    assert texts == {(0, 0): "100", (1, 1): "50", (2, 1): "50"}  # (predicted, gold)


def test_a_knob_is_drawn_for_three_values_of_one_loss():
    focal = [row("focal", 0.1 * g, 0.1 * g, name=f"g{g}", focal_gamma=g) for g in (1, 2, 4)]
    plain = row("cross_entropy", 0.5, 0.5)
    assert over_knob(compared(*focal[:2], plain)) is None
    figure = over_knob(compared(*focal, plain))
    assert drawn(figure)["focal"].get_xydata() == pytest.approx(
        np.array([[1, 10], [2, 20], [4, 40]])
    )
    assert over_two_knobs(compared(*focal, plain)) is None


def test_the_lines_of_a_knob_are_in_the_order_of_the_other():
    betas = (0.999, 0.9, 0.9999, 0.99)
    rows = [
        row(
            "class_balanced",
            0.5,
            name=f"{gamma} {beta}",
            focal_gamma=gamma,
            class_balance_beta=beta,
        )
        for beta in betas
        for gamma in (1, 2, 3)
    ]
    rows.insert(4, row("focal", 0.5, focal_gamma=2))
    labels = list(drawn(over_knob(compared(*rows, baseline=None))))
    assert labels == [
        *(f"class_balanced class_balance_beta={beta}" for beta in sorted(betas)),
        "focal",
    ]


def test_beta_is_drawn_over_the_logarithm_of_one_minus_beta():
    pairs = [(0.5, 0.9), (1.5, 0.99), (2.5, 0.999)]
    rows = [
        row("class_balanced", 0.5, name=str(p), focal_gamma=p[0], class_balance_beta=p[1])
        for p in pairs
    ]
    axes = over_two_knobs(compared(*rows, baseline=None)).axes[0]
    low, middle, high = (axes.transData.transform((1, beta))[1] for _, beta in pairs)
    assert middle - low == pytest.approx(high - middle) and high > middle
    scores = {(2, 0.99): 0.25, (1, 0.9): 0.1, (2, 0.9): 0.2, (1, 0.99): 0.15}
    grid = [
        row("class_balanced", score, name=str(g_b), focal_gamma=g_b[0], class_balance_beta=g_b[1])
        for g_b, score in scores.items()
    ]
    assert over_two_knobs(compared(*grid, baseline=None)) is None
    grid.append(row("class_balanced", 0.3, name="more", focal_gamma=3, class_balance_beta=0.9))
    grid.append(row("class_balanced", 0.35, name="most", focal_gamma=3, class_balance_beta=0.99))
    (axes,) = over_two_knobs(compared(*grid, baseline=None)).axes
    labels_at = {text.get_position(): text.get_text() for text in axes.texts}
    assert labels_at == {
        (0, 0): "10.00",
        (1, 0): "20.00",
        (2, 0): "30.00",
        (0, 1): "15.00",
        (1, 1): "25.00",
        (2, 1): "35.00",
    }
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0.9", "0.99"]


def test_values_of_a_knob_that_differ_in_the_seventh_digit_are_two_lines():
    rows = []
    for lr in (0.1, 0.10000001):
        rows += [row("focal", 0.5, name=f"{lr} {g}", focal_gamma=g, rate=lr) for g in (1, 2, 3)]
    rows.append(row("focal", 0.5, name="none", focal_gamma=None, rate=None))
    labels = list(drawn(over_knob(compared(*rows, baseline=None))))
    assert labels == ["focal rate=0.1", "focal rate=0.10000001"]
    (axes,) = over_two_knobs(compared(*rows, baseline=None)).axes
    ticks = [label.get_text() for label in axes.get_yticklabels()]
    assert ticks == ["0.1", "0.10000001"]


def test_only_times_of_the_same_hardware_are_drawn():
    rows = [row(name, 0.5) for name in ("crf", "dice", "cross_entropy")]
    rows[0].records[0].result.device = "cuda:0"
    assert list(drawn(time(compared(*rows)))) == ["dice", "cross_entropy"]
    mixed = row("cross_entropy", 0.5, 0.6)
    mixed.records[0].result.device = "cuda"
    assert time(compared(*rows[:2], mixed)) is None


def test_time_is_a_multiple_of_the_baselines():
    slow, plain = row("crf", 0.5), row("cross_entropy", 0.4)
    slow.records[0].result.cpu_seconds, plain.records[0].result.cpu_seconds = 25.0, 5.0
    assert drawn(time(compared(slow, plain)))["crf"].get_xydata() == pytest.approx(
        np.array([[5, 50]])
    )


def test_of_many_rows_the_baseline_and_the_best_are_told_apart_in_grey_too():
    rows = [row(f"loss{i}", 0.5 + i / 100) for i in range(12)]
    named = {
        of.setting: look for of, look in looks(compared(*rows, baseline="loss0")) if "label" in look
    }
    assert set(named) == {"loss0", "loss7", "loss8", "loss9", "loss10", "loss11"}
    assert len({look["marker"] for look in named.values()}) == 6


def test_captions_leave_out_what_a_figure_does_not_show():
    rows = [row("focal", 0.5, 0.6), row("cross_entropy", 0.5, 0.5)]
    sentences = ("{seeds}.", "Over {knob}.", "By {baseline}.")
    assert complete(sentences, facts(compared(*rows))) == "2 seeds. By cross_entropy."
    assert complete(sentences, facts(compared(*rows, baseline=None))) == "2 seeds."


def test_captions_mention_seeds_only_where_there_are_several():
    one, two = row("focal", 0.5), row("dice", 0.5, 0.6)
    alone, both = "from documents alone", "from seeds and documents"
    for rows, expected in (
        ([one], f"{alone}, as there is one seed"),
        ([two], both),
        ([one, two], f"{both} (where there is one seed, {alone})"),
    ):
        assert facts(compared(*rows, baseline=None))["interval"] == expected


def test_signs_that_no_font_has_are_drawn_without_a_warning(tmp_path):
    @plotting.styled
    def draw():
        figure = Figure()
        figure.text(0.5, 0.5, "政府 PER")
        figure.savefig(tmp_path / "x.png")
        return rcParams["font.family"]

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        families = draw()
    there = fontManager.get_font_names()
    assert families[0] == "sans-serif" and families[1:] == [
        name for name in plotting.CJK if name in there
    ]


def test_nothing_is_compared_without_a_baseline():
    assert verdict(compared(row("focal", 0.5), row("dice", 0.4), baseline=None)) is None


@pytest.mark.parametrize(
    "name", [HARD, "a-very_long name=of,many parts/" * 5, "x" * 100, "short", " two  blanks "]
)
def test_a_long_name_is_broken_into_lines_and_nothing_of_it_is_lost(name):
    lines = wrap(name, 20).split("\n")
    assert "".join(lines) == name
    assert all(len(line.rstrip()) <= 20 for line in lines)


def test_all_pictures_are_the_same_bytes_each_time_and_draw_names_as_they_are(comparison, tmp_path):
    base = next(of for of in comparison.rows if of.setting == comparison.baseline)
    other = next(of for of in comparison.rows if of.setting != comparison.baseline)
    hard = replace(comparison, rows=(base, replace(other, setting=HARD)))
    first, again = (write_figures(hard, tmp_path / name) for name in ("first", "again"))
    assert [picture.name for picture in first] == [
        "verdict", "f1", "per_type", "precision_recall", "time",
        "learning_curves", "confusion", "reliability", "gradient_norms", "effective_weights",
    ]  # fmt: skip
    written = {file.name for file in (tmp_path / "first").iterdir()}
    assert written == {f"{picture.name}.{kind}" for picture in first for kind in ("png", "svg")}
    for one, other in zip(first, again, strict=True):
        assert (
            one.png.read_bytes() == other.png.read_bytes()
            and one.svg.read_bytes() == other.svg.read_bytes()
        )
        assert one.caption and "{" not in one.title + one.caption
        texts = [
            element.text
            for element in ElementTree.parse(one.svg).iter("{http://www.w3.org/2000/svg}text")
        ]
        if one.name in ("f1", "per_type", "time", "gradient_norms"):
            assert HARD in texts
        if one.name == "per_type":
            assert "style><b>PER" in texts
