"""Tag texts with a saved model: from any input to JSON lines or columns."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from nersweep.command.keywords import keyword, overrides_of
from nersweep.data.corpus import SPLITS, read
from nersweep.deployment import datasets, documents
from nersweep.deployment.documents import Document
from nersweep.deployment.models import ModelOptions, find_model, load_tagger
from nersweep.deployment.output import check_output, format_named, opened
from nersweep.faults import Fault, UserError
from nersweep.model.saved import Mention, SavedTagger, TaggedSentence
from nersweep.terminal import console, notes_on_stderr

LINES = {"text": documents.of_text, "words": documents.of_line, "jsonl": documents.of_json}


@dataclass
class PredictOptions(ModelOptions):
    """The options of `python -m nersweep.predict`."""

    text: str | None = keyword("a text to tag")
    input: str | None = keyword("a file to tag, one text per line")
    input_format: str | None = keyword(
        "of a line: text, words with blanks between, or jsonl with a field text (jsonl for "
        "FILE.jsonl and FILE.ndjson, else text)"
    )
    data: tuple[str, ...] = overrides_of(
        "data", "a data set as in training; with input=FILE its reader alone, as in data=conll"
    )
    split: str | None = keyword("which split of the data set: train, dev or test (test)")
    output: str | None = keyword("a file to write (standard output)")
    output_format: str = keyword("jsonl or conll (jsonl)", "jsonl")


def predict(options: PredictOptions) -> None:
    """Tag what the options name, and write it. Raises UserError before anything is written."""
    check_input(options)
    write = format_named(options.output_format)
    with notes_on_stderr(), progress_bar() as bar:
        tagger = load_tagger(options, find_model(options))
        task = bar.add_task("tagging", total=size_of(options))
        source = sources(options, lambda count: bar.advance(task, count))
        check_output(options.output, options.input)
        with opened(options.output) as file:
            for document, tagged in tag_all(tagger, source):
                file.write(write(document, tagged))


def check_input(options: PredictOptions) -> None:
    """Raise UserError unless there is one input that can be read."""
    given: list[str] = []
    for name in ("text", "input"):
        if getattr(options, name) is not None:
            given.append(f"{name}={getattr(options, name)}")
    if len(given) > 1 or (options.text is not None and options.data):
        both = " ".join([*given, *options.data])
        raise UserError(Fault(both, must="two inputs", remedy="set one of text=, input= and data="))
    if not given and not options.data:
        must = "nothing to tag"
        raise UserError(Fault("", must=must, remedy="set text=TEXT, input=FILE or data=NAME"))
    if options.input_format is not None:
        if options.input_format not in LINES:
            must = f"must be one of {', '.join(LINES)}"
            remedy = "for a reader of data set data=NAME"
            raise UserError(Fault("input_format", options.input_format, must, remedy))
        if options.input is None or options.data:
            must = "is the format of input=FILE without data="
            raise UserError(Fault("input_format", options.input_format, must))
    if options.split is not None and (options.split not in SPLITS or options.input):
        must = f"must be one of {', '.join(SPLITS)}, of a data set without input="
        raise UserError(Fault("split", options.split, must))
    if options.input is not None:
        if not Path(options.input).exists():
            raise UserError(Fault("input", options.input, "no such file"))
        if Path(options.input).is_dir() and not options.data:
            raise UserError(Fault("input", options.input, "is a folder, expected a file"))


def size_of(options: PredictOptions) -> int | None:
    """Return what progress counts to: bytes of a file of lines; None for anything else."""
    if options.input is None or options.data:
        return None
    return Path(options.input).stat().st_size or None


def sources(options: PredictOptions, advance: Callable[[int], object]) -> Iterator[Document]:
    """Yield the documents of the input. advance: is called with the bytes that have been read."""
    if options.text is not None:
        return iter([documents.of_text(decoded(options.text))])
    if options.data and options.input is not None:
        sentences, notes = datasets.read_file(options.data, options.input)
        for note in dict.fromkeys(notes):
            console.print(f"note: {note}")
        return documents.of_sentences(sentences)
    if options.data:
        corpus = read(datasets.data_set(options.data))
        return documents.of_sentences(corpus.splits()[options.split or "test"])
    assert options.input is not None, "checked"
    parse = LINES[options.input_format or format_by_name(options.input)]
    return documents.read_lines(Path(options.input), parse, advance)


def format_by_name(file: str) -> str:
    """Return the format of the lines of a file, by the end of its name. Raises UserError."""
    suffix = Path(file).suffix.lower()
    if suffix == ".json":
        must = "may hold one JSON value or one on each line"
        remedy = "set input_format=jsonl, or text to tag its lines as they are"
        raise UserError(Fault("input", file, must, remedy))
    return "jsonl" if suffix in (".jsonl", ".ndjson") else "text"


def decoded(text: str) -> str:
    """Return a text of the command line. Raises UserError if its bytes were no UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UserError(Fault("text", must="not valid UTF-8")) from None
    return text


def tag_all(
    tagger: SavedTagger, source: Iterable[Document], most: int = documents.MOST_WORDS
) -> Iterator[tuple[Document, TaggedSentence]]:
    """Yield each document with its tags, some documents at a time: those of like length together.

    A text of more than `most` words is tagged in parts.
    """
    for group in documents.chunks(source):
        sentences: list[Sequence[str]] = []
        bounds_of: list[list[tuple[int, int]]] = []
        for document in group:
            bounds_of.append(documents.parts(document.words, most))
            for start, end in bounds_of[-1]:
                sentences.append(document.words[start:end])
        tagged = iter(tagger.tag(sentences))
        for document, bounds in zip(group, bounds_of, strict=True):
            yield document, joined(tagged, bounds)


def joined(tagged: Iterator[TaggedSentence], bounds: list[tuple[int, int]]) -> TaggedSentence:
    """Return the tags of the next parts of a text as those of the whole. bounds: of its parts."""
    if len(bounds) == 1:
        return next(tagged)
    whole = TaggedSentence([], [])
    for start, _ in bounds:
        part = next(tagged)
        whole.tags.extend(part.tags)
        for first, last, type_, probability in part.entities:
            whole.entities.append(Mention(start + first, start + last, type_, probability))
    return whole


def progress_bar() -> Progress:
    """Return a bar on standard error, if that is a terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
