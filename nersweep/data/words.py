"""Split raw text into words, by one rule for every reader of text and for prediction."""

import re
import unicodedata

# What a character is, by one letter: a blank " ", an ideograph "x", a digit "0", a mark "m", a
# letter "a" ("s" for s), a sign that can join as itself, any other sign "!".
JOINING = {"’": "'", "ʼ": "'", "‐": "-", "‑": "-"} | {sign: sign for sign in "'-.&@_,:/"}
BLANKS = "\u200b\ufeff"  # of no width
IDEOGRAPHS = ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x323AF))

WORD = re.compile(
    r"""
    x m*                                     # 東, with its variation selector
    | (?: [as] \. ){2,} (?! [asm0] )         # U.S.  e.g.
    | (?<= [asm0.] ) 's (?! [asm0] )         # 's after a word
    | [asm0]+ (?:
        (?: (?! 's (?! [asm0] ) ) [-'.&@_]   # l'eau  F-16  example.org  R&D  a@b
          | (?<= 0 ) [,:/] (?= 0 )           # 1,000  10:30
        ) [asm0]+
      )*
    | [^ ]                                   # any other sign
    """,
    # Blanks of the pattern do not count, but one in brackets does.
    re.VERBOSE,
)


class Kinds(dict[int, str]):
    """What each character is, by its code point, as `str.translate` reads it."""

    def __missing__(self, code: int) -> str:
        self[code] = kind = kind_of(chr(code))
        return kind


KINDS = Kinds()


def kind_of(character: str) -> str:
    """Return what a character is, as one letter."""
    category = unicodedata.category(character)
    if character.isspace() or category == "Cc" or character in BLANKS:
        return " "
    if any(first <= ord(character) <= last for first, last in IDEOGRAPHS):
        return "x"
    if character in JOINING:
        return JOINING[character]
    if category == "Nd":
        return "0"
    if category[0] == "M":
        return "m"
    if category[0] in "PS":
        return "!"
    return "s" if character in "sS" else "a"


def words(text: str) -> list[tuple[int, int]]:
    """Return the words of a text, (start, end) in characters (code points), end exclusive.

    - Blanks, control characters and spaces of no width separate words and belong to none.
    - Each punctuation character and symbol is a word of its own, with three exceptions:
      one of ' - . & @ _ between two letters or digits joins them (l'eau, F-16, example.org), one
      of , : / does so between two digits (1,000, 10:30); letters each followed by a dot, two or
      more, are one word (U.S.); 's at a word's end is a word (John 's).
    - Each CJK ideograph is a word. Other scripts without blanks, such as kana or Thai, stay whole.
    """
    return [match.span() for match in WORD.finditer(text.translate(KINDS))]
