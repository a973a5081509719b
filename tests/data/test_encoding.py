"""Files that are no UTF-8 text."""

import subprocess
from pathlib import Path

import pytest

from nersweep.data.columns import read_file
from nersweep.data.encoding import decoded, plain_text, read_bytes

TEXT = "Müller B-PER\nsang O\n\nZoë I-PER\n“ O\n"


def fault_of(faults_of, folder, data):
    file = folder / "a b.txt"
    file.write_bytes(data)
    (fault,) = faults_of(lambda: read_file(file))
    return file, fault


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("utf-16", "UTF-16"),
        ("utf-16-le", "UTF-16LE"),
        ("utf-16-be", "UTF-16BE"),
        ("cp1252", "WINDOWS-1252"),
    ],
)
def test_the_command_that_a_fault_names_converts_the_file(encoding, name, tmp_path, faults_of):
    file, fault = fault_of(faults_of, tmp_path, TEXT.encode(encoding))
    assert fault.setting.startswith(str(file)) and f"iconv -f {name} " in fault.remedy
    command = "iconv" + fault.remedy.partition("iconv")[2].replace("NEW", "'new file'")
    subprocess.run(command, shell=True, check=True, cwd=tmp_path)
    assert (tmp_path / "new file").read_text(encoding="utf-8") == TEXT
    assert read_file(tmp_path / "new file")[1].words == ("Zoë", "“")


def test_western_and_chinese_text_are_told_apart(tmp_path, faults_of):
    latin = "Jürgen O\nMünster B-LOC\n".encode("latin-1")
    _, fault = fault_of(faults_of, tmp_path, latin)
    assert "LATIN1" in fault.remedy and "byte 0xfc" in fault.must
    chinese = "\n".join(f"{character} O" for character in "王小明在唱歌，").encode("gb18030")
    _, fault = fault_of(faults_of, tmp_path, chinese)
    assert "GB18030" in fault.remedy


def test_a_damaged_byte_in_utf8_is_named_with_its_line_and_no_encoding(tmp_path, faults_of):
    data = TEXT.encode().replace(b"sang", b"s\xffng")
    file, fault = fault_of(faults_of, tmp_path, data)
    assert fault.setting == f"{file}:2" and fault.must == "not valid UTF-8 (byte 0xff)"
    assert "iconv" not in str(fault)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\x1f\x8b\x08\x00abc", "gunzip"),
        (b"PK\x03\x04\x14\x00", "unzip"),
        (b"PAR1\x15\x04", "data=parquet"),
        (b"a O\n\nb\x00\x01\x02\xff\xfe", "binary"),
    ],
)
def test_a_binary_file_gets_one_line(data, what, tmp_path, faults_of):
    file, fault = fault_of(faults_of, tmp_path, data)
    assert fault.setting.startswith(str(file)) and what in str(fault)


@pytest.mark.parametrize(
    ("data", "line"), [(b"a O\rb O\r\rc O\r", 1), (b"a O\r\nb O\n\nc\r O\n", 4)]
)
def test_a_lone_carriage_return_is_refused_with_the_command_that_mends_it(
    data, line, tmp_path, faults_of
):
    file, fault = fault_of(faults_of, tmp_path, data)
    assert fault.setting == f"{file}:{line}"
    command = "tr" + fault.remedy.partition("tr")[2].replace("NEW", "new")
    subprocess.run(command, shell=True, check=True, cwd=tmp_path)
    assert b"\r" not in Path(tmp_path / "new").read_bytes()


def test_lines_end_in_a_line_feed_and_blank_ones_are_empty(tmp_path):
    file = tmp_path / "a"
    file.write_bytes("\ufeffa\r\n\t \r\nb\r\r\n \nc\r".encode())
    assert plain_text(file) == "a\n\nb\n\nc"


def test_what_is_text_is_read(tmp_path):
    for text in ("", "a\r\nb\r\r\n", "\ufeffa", "a\x1cb\u2028c\x0c"):
        file = tmp_path / "a"
        file.write_bytes(text.encode())
        assert decoded(file, read_bytes(file)) == text.removeprefix("\ufeff")
