"""What a person has to say about each option of conf/loss, in the order of the document."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from loss_catalogue.curves import (
    Picture,
    by_density,
    by_likeness,
    by_overlap,
    by_prior,
    by_setting,
    by_similarity,
    by_step,
    by_transition,
    by_weight,
    in_batch,
)
from loss_catalogue.options import Option


@dataclass(frozen=True, kw_only=True)
class Entry:
    """formula: TeX. knobs: what each means; range and default are derived. example: settings of the
    command. sources: citation, as in the docstring of the class -> title and notes."""

    title: str
    kind: str
    formula: str
    knobs: Mapping[str, str] = field(default_factory=dict)
    example: str = ""
    use: str
    avoid: str
    sources: Mapping[str, str] = field(default_factory=dict)
    picture: Callable[[Option], Picture]


KINDS = {
    "token": "Token losses",
    "weighted": "Weighted variants",
    "batch": "Batch losses",
    "structured": "Structured and auxiliary losses",
}
GAMMA = "how much confident words are scaled down"
WEIGHTS = "the scheme of the class weights"
FOCAL_FORM = r"(1-p_y)^\gamma \log p_y"

ENTRIES: dict[str, Entry] = {
    "cross_entropy": Entry(
        title="Cross entropy",
        kind="token",
        formula=r"\ell = -\log p_y",
        use="Always first: it is the default, and the baseline for every other loss.",
        avoid="Rare types are missed: every word counts the same, and most words are O.",
        picture=by_setting("loss.reduction=none"),
    ),
    "focal": Entry(
        title="Focal loss",
        kind="token",
        formula=rf"\ell = -{FOCAL_FORM}",
        knobs={
            "focal_gamma": GAMMA,
            "focal_alpha": "the paper's α, one weight per class: a list, or a mapping label: "
            "weight; "
            "null takes those of `weights=`",
        },
        example="focal_gamma=3",
        use="Many words are easy, most of them O, and together they outweigh the few hard ones. "
        "It needs no counts.",
        avoid="Labels have errors: a word that stays wrong keeps its loss while the others lose "
        "theirs. It looks at confidence, not at the class, so a rare type that is easy is scaled "
        "down too. Probabilities come out less extreme than with cross entropy.",
        sources={"Lin et al. 2017, eq. 4-5": "*Focal Loss for Dense Object Detection*"},
        picture=by_setting("focal_gamma=0", "focal_gamma=0.5", "focal_gamma=2", "focal_gamma=5"),
    ),
    "label_smoothing": Entry(
        title="Label smoothing",
        kind="token",
        formula=r"\ell = -\sum_k t_k \log p_k, \qquad t_k = (1-\varepsilon)\,[k=y] + "
        r"\frac{\varepsilon}{K}",
        knobs={"label_smoothing": "ε, the share of the target that is spread over all classes"},
        example="label_smoothing=0.05",
        use="The model is overconfident, or a few labels are wrong.",
        avoid="Imbalance is the only problem: each rare class gets the same ε/K at every O word, "
        "and no class is favoured. It does not know which classes are confused either; "
        "`embedding_smoothing` does.",
        sources={
            "Szegedy et al. 2016, section 7": "*Rethinking the Inception Architecture for "
            "Computer Vision*"
        },
        picture=by_setting(
            "label_smoothing=0",
            "label_smoothing=0.05",
            "label_smoothing=0.1",
            "label_smoothing=0.3",
        ),
    ),
    "embedding_smoothing": Entry(
        title="Label smoothing towards similar classes",
        kind="token",
        formula=r"\ell = -\sum_k t_k \log p_k, \qquad t_k = (1-\varepsilon)\,[k=y] + "
        r"\varepsilon\,\frac{e^{\alpha \cos(e_k, e_y)}}{\sum_{j \ne y} e^{\alpha \cos(e_j, "
        r"e_y)}}\,[k \ne y]",
        knobs={
            "embedding_smoothing": "ε, the share of the target that is spread",
            "embedding_smoothing_inverse_temperature": "α, how much of it goes to the most "
            "similar classes",
            "embedding_smoothing_over": "the classes of the softmax; `all` includes the gold class",
            "embedding_smoothing_momentum": "of the moving average of the label embeddings",
        },
        example="embedding_smoothing=0.05",
        use="Some types, such as ORG and LOC, are confused with each other for good reason, and "
        "the errors in the labels are of that kind. The label embeddings e are the classes' mean "
        "features, updated with each step and never trained through the target.",
        avoid="The features are still random, as at the start of a model trained from scratch: "
        "the similarities are then arbitrary.",
        sources={
            "Szegedy et al. 2016, section 7": "*Rethinking the Inception Architecture for "
            "Computer Vision*, "
            "for even similarities; no form of this loss is standard"
        },
        picture=by_likeness,
    ),
    "logit_adjusted": Entry(
        title="Logit adjustment",
        kind="token",
        formula=r"\ell = -\log \frac{e^{z_y + \tau \log \pi_y}}{\sum_k e^{z_k + \tau \log "
        r"\pi_k}}, \qquad "
        r"\pi_k = \frac{n_k}{\sum_j n_j}",
        knobs={
            "logit_adjusted_tau": "τ, how much of the prior is removed; at 1 it is balanced softmax"
        },
        example="logit_adjusted_tau=0.5",
        use="You want rare classes to be found more often, by a margin that follows from their "
        "counts. The predictions come from the unadjusted logits z.",
        avoid="The data to be tagged is as imbalanced as the training split and precision matters "
        "as much as recall: at τ = 1 the logits are free of the prior, so rare types are "
        "predicted more often than they occur. Combined with `weights=`, it corrects the same "
        "imbalance twice.",
        sources={
            "Menon et al. 2021, eq. 10": "*Long-tail learning via logit adjustment*",
            "Ren et al. 2020, eq. 4": "*Balanced Meta-Softmax for Long-Tailed Visual Recognition*",
        },
        picture=by_prior,
    ),
    "poly1": Entry(
        title="Poly-1 loss",
        kind="token",
        formula=r"\ell = -\log p_y + \varepsilon\,(1-p_y)",
        knobs={
            "poly1_epsilon": "ε, added to the first coefficient of the expansion of cross entropy"
        },
        example="poly1_epsilon=2",
        use="You want the smallest change to cross entropy: its gradient times 1 + ε·p_y. Above "
        "0, words that are nearly right count more; below 0 they count less, as in focal loss; at "
        "−1 the gradient is (1−p_y)².",
        avoid="You want badly wrong words to count more or less: where p_y is near 0 it is cross "
        "entropy at any ε.",
        sources={"Leng et al. 2022, section 4.3": "*PolyLoss: A Polynomial Expansion Perspective*"},
        picture=by_setting(
            "poly1_epsilon=-1", "poly1_epsilon=0", "poly1_epsilon=1", "poly1_epsilon=4"
        ),
    ),
    "gce": Entry(
        title="Generalised cross entropy",
        kind="token",
        formula=r"\ell = \frac{1 - p_y^{\,q}}{q}",
        knobs={"gce_q": "between cross entropy, towards 0, and 1−p_y, at 1"},
        example="gce_q=0.3",
        use="Labels have errors: a word's gradient is that of cross entropy times p_y^q, so a "
        "word that looks mislabelled counts less.",
        avoid="Labels are clean and types rare: the words of a rare type start with a small p_y, "
        "look mislabelled, and are learned slowly, the more so the nearer q is to 1.",
        sources={
            "Zhang & Sabuncu 2018, eq. 6": "*Generalized Cross Entropy Loss for Training Deep "
            "Neural Networks with "
            "Noisy Labels*"
        },
        picture=by_setting("gce_q=0.01", "gce_q=0.3", "gce_q=0.7", "gce_q=1"),
    ),
    "self_adjusting_dice": Entry(
        title="Self-adjusting dice loss",
        kind="token",
        formula=r"\ell = \sum_k \left(1 - \frac{2 f_k y_k + s}{f_k + y_k + s}\right), \qquad "
        r"f_k = (1-p_k)^\alpha\, p_k",
        knobs={
            "self_adjusting_dice_alpha": "α, how much confident words are scaled down",
            "self_adjusting_dice_smooth": "s, without a unit",
            "self_adjusting_dice_square": "f² for f in the denominator",
        },
        example="self_adjusting_dice_alpha=0.01 self_adjusting_dice_square=true",
        use="You want a bounded loss per word in the form of a soft F1. The authors advise α = "
        ".01 with the square for many classes.",
        avoid="α is near 1, as by default: f falls to 0 at p = 1 as it does at p = 0, so a word "
        "that is surely right keeps a loss of 1/(1+s), and one that is surely wrong costs no more.",
        sources={"Li et al. 2020, section 3.4": "*Dice Loss for Data-imbalanced NLP Tasks*"},
        picture=by_setting(
            "self_adjusting_dice_alpha=0",
            "self_adjusting_dice_alpha=0.01 self_adjusting_dice_square=true",
            "self_adjusting_dice_alpha=0.3",
            "self_adjusting_dice_alpha=1",
        ),
    ),
    "weighted_cross_entropy": Entry(
        title="Weighted cross entropy",
        kind="weighted",
        formula=r"\ell = -w_y \log p_y",
        knobs={"weights": WEIGHTS},
        example="weights=inverse_sqrt",
        use="Rare types are missed, and you can trade precision for recall.",
        avoid="Some class has so few words that its weight lets them dominate the step: use "
        "`weights=inverse_sqrt`, `weights=effective` or a cap, `weights.cap=10`. Mislabelled "
        "words of rare classes are weighted up too.",
        picture=by_weight(("", "O"), ("", "B-PER"), ("", "I-MISC")),
    ),
    "weighted_focal": Entry(
        title="Weighted focal loss",
        kind="weighted",
        formula=rf"\ell = -w_y {FOCAL_FORM}",
        knobs={"weights": WEIGHTS, "focal_gamma": GAMMA},
        example="weights=effective effective_beta=0.9999",
        use="You want both: rare classes up, easy words down.",
        avoid="You have not tried either alone: both take from O, whose words are frequent and "
        "easy.",
        sources={
            "Lin et al. 2017, eq. 4-5": "*Focal Loss for Dense Object Detection*; the weight is "
            "its α"
        },
        picture=by_weight(("", "O"), ("", "B-PER"), ("", "I-MISC")),
    ),
    "class_balanced": Entry(
        title="Class-balanced loss",
        kind="weighted",
        formula=rf"\ell = -w_y {FOCAL_FORM}, \qquad w_c \propto "
        rf"\frac{{1-\beta}}{{1-\beta^{{\,n_c}}}}",
        knobs={
            "class_balance_beta": "β of the effective number of words of a class; 0 is uniform, "
            "towards 1 it nears the "
            "inverse count",
            "focal_gamma": GAMMA + "; at 0 the base is cross entropy",
        },
        example="class_balance_beta=0.9999",
        use="You want weights between none and the inverse count, with one number to tune: on a "
        "logarithmic scale of 1−β, as [class weights](#class-weights) shows.",
        avoid="All classes have far more than 1/(1−β) words: their weights are then equal, and it "
        "is focal loss.",
        sources={
            "Cui et al. 2019, eq. 2": "*Class-Balanced Loss Based on Effective Number of Samples*"
        },
        picture=by_weight(
            ("class_balance_beta=0.999", "O"),
            ("class_balance_beta=0.999", "I-MISC"),
            ("class_balance_beta=0.9999", "O"),
            ("class_balance_beta=0.9999", "I-MISC"),
        ),
    ),
    "batch_balanced": Entry(
        title="Focal loss balanced by the step",
        kind="weighted",
        formula=rf"\ell = -w_y {FOCAL_FORM}, \qquad w_c \propto "
        rf"\frac{{1-\beta}}{{1-\beta^{{\,m_c}}}}",
        knobs={
            "batch_balance_beta": "β, with the counts m of the optimiser step; absent classes "
            "take no part",
            "focal_gamma": GAMMA,
        },
        example="batch_balance_beta=0.99",
        use="Counts of the training split are unknown or change, as in a stream; otherwise use "
        "`class_balanced`.",
        avoid="Steps are small: the same word then weighs more or less depending on the rest of "
        "its step. A class with far fewer than 1/(1−β) words in the step gets nearly the inverse "
        "of its count there.",
        sources={
            "Cui et al. 2019, eq. 2": "*Class-Balanced Loss Based on Effective Number of Samples*"
        },
        picture=by_step,
    ),
    "dice": Entry(
        title="Dice loss",
        kind="batch",
        formula=r"L = \frac{1}{K} \sum_k \left(1 - \frac{2 \sum_i p_{ik} y_{ik} + s}"
        r"{\sum_i p_{ik} + \sum_i y_{ik} + s}\right)",
        knobs={
            "dice_smooth": "s, in words",
            "dice_square": "p² for p in the denominator",
            "dice_exclude": "labels left out of the mean, for example `[O]`",
            "dice_absent": "`skip` leaves classes without gold words in the step out of the mean",
            "dice_log": "minus the logarithm of the coefficient instead of one minus it",
        },
        example="dice_exclude=[O] dice_absent=skip",
        use="You want every class to count the same however few its words: the loss is one minus "
        "the mean soft F1 of the classes.",
        avoid="Steps are so small that most classes have no gold word: those have nothing to "
        "gain, and under `include` they only pay for their false positives. The gradient fades "
        "where p_y is near 0; `compound` adds a token loss.",
        sources={
            "Milletari et al. 2016, section 3": "*V-Net: Fully Convolutional Neural Networks for "
            "Volumetric Medical "
            "Image Segmentation*",
            "Li et al. 2020, section 3.3": "*Dice Loss for Data-imbalanced NLP Tasks*",
        },
        picture=in_batch(
            ("", "O"), ("", "I-X"), ("dice_smooth=0", "I-X"), ("dice_square=true", "I-X")
        ),
    ),
    "tversky": Entry(
        title="Tversky loss",
        kind="batch",
        formula=r"L = \frac{1}{K} \sum_k \left(1 - \frac{\mathrm{TP}_k + s}"
        r"{\mathrm{TP}_k + a\,\mathrm{FP}_k + b\,\mathrm{FN}_k + s}\right)^{\gamma}",
        knobs={
            "tversky_a": "the price of a false positive",
            "tversky_b": "the price of a false negative",
            "tversky_gamma": "above 1 the classes that are far off count more",
            "tversky_smooth": "s, in words",
        },
        example="tversky_a=0.5 tversky_b=0.5",
        use="Precision and recall are not worth the same: a larger a favours precision, a larger "
        "b recall. At a = b = ½ and γ = 1 it is dice loss with twice the s.",
        avoid="As for dice loss.",
        sources={
            "Salehi et al. 2017, section 2.2": "*Tversky loss function for image segmentation "
            "using 3D fully "
            "convolutional deep networks*",
            "Abraham & Khan 2019": "*A Novel Focal Tversky loss function with improved Attention "
            "U-Net for lesion "
            "segmentation*; of it the γ",
        },
        picture=in_batch(
            ("", "O"),
            ("", "I-X"),
            ("tversky_a=0.7 tversky_b=0.3", "I-X"),
            ("tversky_gamma=2", "I-X"),
        ),
    ),
    "ghm": Entry(
        title="GHM-C",
        kind="batch",
        formula=r"L = \frac{1}{N} \sum_i \beta_i\,(-\log p_{y_i}), \qquad "
        r"\beta_i = \frac{N}{M\,R_{b(i)}}, \qquad b(i) = \mathrm{bin\ of\ } 1-p_{y_i}",
        knobs={
            "ghm_bins": "number of equal bins for the gradient norm, 1−p_y, on [0, 1]",
            "ghm_momentum": "of the moving average of the words R in a bin; M is the number of "
            "bins that are not empty",
        },
        example="ghm_bins=30",
        use="There are too many easy words, and outliers, such as mislabelled words, should count "
        "less as well: every non-empty bin has the same total weight.",
        avoid="Steps are small: a bin with one word gives it the weight of a whole bin, and the "
        "loss jumps from step to step. If hard words are many, as at the start of training, they "
        "form a crowd and count less.",
        sources={"Li, Liu & Wang 2019": "*Gradient Harmonized Single-stage Detector*, eq. 4-8"},
        picture=by_density,
    ),
    "crf": Entry(
        title="Conditional random field",
        kind="structured",
        formula=r"L = \log Z - \mathrm{score}(y), \qquad \mathrm{score}(y) = a_{y_1} + \sum_t "
        r"z_{t, y_t} + "
        r"\sum_t A_{y_t, y_{t+1}} + e_{y_T}",
        knobs={
            "head.constrained": "forbids transitions that are illegal in IOB2, in training and in "
            "decoding",
            "loss.reduction": "divides by the words of the step, by its sentences, or not at all",
        },
        example="head.constrained=false",
        use="A word's label depends on its neighbours' labels: the loss is that of the whole "
        "sequence, and Viterbi decodes it. The transition scores are trained with the model; "
        "`train.head_lr` gives them a learning rate of their own.",
        avoid="You only want to rule out illegal sequences: `head.decode=viterbi` does so with "
        "any token loss and trains nothing.",
        sources={
            "Lafferty et al. 2001": "*Conditional Random Fields: Probabilistic Models for "
            "Segmenting and Labeling "
            "Sequence Data*"
        },
        picture=by_transition,
    ),
    "boundary": Entry(
        title="Cross entropy with boundary IoU",
        kind="structured",
        formula=r"L = L_{\mathrm{CE}} + \lambda \cdot \frac{1}{S} \sum_s (1 - \mathrm{IoU}_s), "
        r"\qquad "
        r"\mathrm{IoU}_s = \frac{\sum_{t \in s} m_t}{|s| + \sum_{t \in \mathrm{window}(s)} m_t}, "
        r"\qquad "
        r"m_t = p_t(\mathrm{B}) + p_t(\mathrm{I})",
        knobs={
            "boundary_weight": "λ",
            "boundary_window": "how many words before and after a span count as its neighbourhood",
        },
        example="boundary_weight=1",
        use="Types are right and edges are wrong: spans are a word too long or too short.",
        avoid="Spurious spans are the problem: far from gold spans they cost nothing, which is "
        "why it is always added to a token loss. Another gold span of the same type within the "
        "window counts as outside.",
        sources={"Of no publication": "there is no standard form"},
        picture=by_overlap,
    ),
    "contrastive": Entry(
        title="Cross entropy with a contrastive term",
        kind="structured",
        formula=r"L = L_{\mathrm{CE}} + \lambda \cdot \frac{1}{A} \sum_i \frac{-1}{|P(i)|} "
        r"\sum_{j \in P(i)} "
        r"\log \frac{e^{z_i \cdot z_j / \tau}}{\sum_{a \ne i} e^{z_i \cdot z_a / \tau}}",
        knobs={
            "contrastive_weight": "λ",
            "contrastive_temperature": "τ, of form `supcon`",
            "contrastive_form": "`margin`: ½D² for two words of a class, ½max(0, margin−D)² for "
            "others",
            "contrastive_margin": "of form `margin`, a distance; D is at most 2",
        },
        example="contrastive_weight=0.5",
        use="You want the features of types to be separable, not only their logits. z are the "
        "normalised features; O words are negatives only, never anchors.",
        avoid="Steps are small: an anchor needs another word with its label (B-PER, not just PER) "
        "in the same step. Memory grows with anchors × words.",
        sources={
            "Khosla et al. 2020, eq. 2": "*Supervised Contrastive Learning*",
            "Hadsell et al. 2006, eq. 4": "*Dimensionality Reduction by Learning an Invariant "
            "Mapping*",
        },
        picture=by_similarity,
    ),
    "compound": Entry(
        title="Sum of losses",
        kind="structured",
        formula=r"L = \sum_i \lambda_i L_i",
        knobs={
            "compound_weights": "λ of each term, ≥ 0; a term with 0 is not computed",
            "focal_gamma": "of the focal term",
            "dice_smooth": "of the dice term",
            "boundary_window": "of the boundary term",
            "contrastive_temperature": "of the contrastive term",
        },
        example="compound_weights.boundary=0.5",
        use="One term has what the other lacks, such as a token loss whose gradient does not fade "
        "next to dice, which follows F1. Each term is logged under its own name.",
        avoid="You have not tried the terms alone: their λ are further knobs to tune, and their "
        "magnitudes differ.",
        picture=in_batch(
            ("compound_weights.dice=0", "I-X"),
            ("compound_weights.focal=0", "I-X"),
            ("", "I-X"),
            ("compound_weights.dice=3", "I-X"),
        ),
    ),
}
