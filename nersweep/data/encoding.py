"""Read text files as UTF-8, and say of any other file what it probably is."""

import re
import shlex
from pathlib import Path

from nersweep.faults import Fault, UserError

BINARY = {  # how files begin that people take for text: what they are, and what to do
    b"\x1f\x8b": ("a gzip archive", "unpack it: gunzip -k"),
    b"PK\x03\x04": ("a zip archive", "unpack it: unzip"),
    b"PAR1": ("a Parquet file", "read it with data=parquet"),
}
BYTE_ORDER_MARKS = (b"\xff\xfe", b"\xfe\xff")  # of UTF-16
LONE_RETURN = re.compile(rb"\r(?![\r\n]|\Z)")
BLANK_LINE = re.compile(r"^[ \t]+$", re.MULTILINE)
SAMPLE = 10_000  # bytes
CJK = re.compile("[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]")


def read_bytes(path: Path) -> bytes:
    """Return the content of a text file. Raises UserError if it is none, or UTF-16."""
    if path.is_dir():
        raise UserError(Fault(str(path), must="is a folder, expected a file"))
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError(Fault(str(path), must="no such file")) from None
    for start, (kind, remedy) in BINARY.items():
        if data.startswith(start):
            if remedy.startswith("unpack"):
                remedy = f"{remedy} {shlex.quote(str(path))}"
            raise UserError(Fault(str(path), must=f"is {kind}, expected text", remedy=remedy))
    zero = data.find(b"\0")
    if data.startswith(BYTE_ORDER_MARKS) or zero >= 0:
        even, odd = (data[first:SAMPLE:2].count(0) for first in (0, 1))
        if data.startswith(BYTE_ORDER_MARKS):
            raise in_encoding(path, "UTF-16")
        if 4 * max(even, odd) > len(data[:SAMPLE]) and min(even, odd) < max(even, odd) / 4:
            raise in_encoding(path, "UTF-16LE" if odd > even else "UTF-16BE")
        place = f"{path}:{line_at(data, zero)}"
        raise UserError(Fault(place, must="has a zero byte, so it is binary; expected text"))
    return data


def decoded(path: Path, data: bytes) -> str:
    """Return the text of a file's content. Raises UserError with the line if it is no UTF-8."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise not_utf8(path, data, error.start) from None


def plain_text(path: Path) -> str:
    """Return the text of a file whose lines end in LF, and blank lines hold nothing.

    Raises UserError for what is no UTF-8 text, and for a carriage return that ends no line.
    """
    data = read_bytes(path)
    refuse_lone_returns(path, data)
    text = decoded(path, data)
    if "\r" in text:
        text = re.sub(r"\r+(\n|\Z)", r"\1", text)
    return BLANK_LINE.sub("", text)


def refuse_lone_returns(path: Path, data: bytes) -> None:
    """Raise UserError for a carriage return without a line feed: old Macs end lines so."""
    match = LONE_RETURN.search(data) if b"\r" in data else None
    if match:
        must = "has a carriage return (CR) without a line feed (LF), expected LF or CR LF"
        command = f"tr '\\r' '\\n' < {shlex.quote(str(path))} > NEW"
        remedy = f"if a line ends there, convert the file: {command}"
        raise UserError(Fault(f"{path}:{line_at(data, match.start())}", must=must, remedy=remedy))


def not_utf8(path: Path, data: bytes, place: int) -> UserError:
    """Return the fault of a file that is no UTF-8 from a byte on, with its probable encoding."""
    must = f"not valid UTF-8 (byte {data[place]:#04x})"
    text = data.decode("utf-8", "replace")
    damaged = text.count("\ufffd")
    if damaged < len(text) - len(text.encode("ascii", "ignore")) - damaged:  # others are UTF-8
        return UserError(Fault(f"{path}:{line_at(data, place)}", must=must, remedy="mend the line"))
    return in_encoding(path, probable_encoding(data), f":{line_at(data, place)}", must)


def probable_encoding(data: bytes) -> str:
    """Return GB18030 for Chinese text, else a Western encoding."""
    try:
        text = data.decode("gb18030")
    except UnicodeDecodeError:
        text = ""
    others = len(text) - len(text.encode("ascii", "ignore"))
    if len(CJK.findall(text)) > max(0.8 * others, 5):
        return "GB18030"
    return "WINDOWS-1252" if re.search(rb"[\x80-\x9f]", data) else "LATIN1"


def in_encoding(path: Path, encoding: str, line: str = "", must: str = "") -> UserError:
    """Return the fault of a file in another encoding, with the command that converts it."""
    must = must or f"looks like {encoding}, expected UTF-8"
    guess = f"if it is {encoding}, " if line else ""
    name = shlex.quote(str(path))
    remedy = f"{guess}convert it: iconv -f {encoding} -t UTF-8 {name} > NEW"
    return UserError(Fault(f"{path}{line}", must=must, remedy=remedy))


def line_at(data: bytes, place: int) -> int:
    """Return the line of a byte, from 1."""
    return data.count(b"\n", 0, place) + 1
