"""How lines are handed over, and what a descriptor may answer."""

import errno
import os

import pytest

from reassemble_emitter import sink as sinks
from reassemble_emitter.sink import FILE_BYTES, PIPE_BYTES, Sink


class Script:
    """Answers each write as scripted, then takes everything; notes what it took."""

    def __init__(self, answers=()):
        self.answers = list(answers)
        self.took = []

    def write(self, descriptor, data):
        answer = self.answers.pop(0) if self.answers else len(data)
        if isinstance(answer, int):
            self.took.append(bytes(data[:answer]))
            return min(answer, len(data))
        raise answer


@pytest.fixture
def written(monkeypatch, tmp_path):
    def written(lines, answers=(), together=0):
        script = Script(answers)
        sink = Sink.open(str(tmp_path / "out"))
        sink._together = together
        monkeypatch.setattr(sinks.os, "write", script.write)
        lost = sink.write_lines(lines)
        monkeypatch.undo()
        return lost, script.took, sink

    return written


LINES = [b"ab\n", b"cd\n", b"ef\n", b"a longer line\n", b"g\n"]


def test_lines_share_a_write_up_to_its_bound_and_are_never_split(written):
    assert written(LINES, together=7)[:2] == ([], [b"ab\ncd\n", b"ef\n", b"a longer line\n", b"g\n"])
    assert written(LINES, together=0)[:2] == ([], LINES)
    assert written(LINES, together=100)[:2] == ([], [b"".join(LINES)])


def test_what_is_written_in_part_is_written_on(written):
    assert written([b"abcdef\n"], [3])[:2] == ([], [b"abc", b"def\n"])
    assert written([b"ab\n"], [BlockingIOError(errno.EAGAIN, "")])[:2] == ([], [b"ab\n"])


def test_after_a_torn_line_the_next_begins_on_its_own(written):
    lost, took, sink = written([b"ab\n", b"cdef\n", b"gh\n"], [3, 2, OSError(errno.ENOSPC, "")])
    assert lost == [1] and took == [b"ab\n", b"cd", b"\n", b"gh\n"] and not sink.is_gone


def test_of_lines_written_together_those_that_arrived_are_not_lost(written):
    lost, _, _ = written(LINES, [4, OSError(errno.ENOSPC, "")], together=9)
    assert lost == [1, 2]


def test_without_a_reader_all_that_follows_is_lost(written):
    lost, took, sink = written(LINES, [BrokenPipeError(errno.EPIPE, "")])
    assert lost == [0, 1, 2, 3, 4] and took == [] and sink.is_gone


def test_what_shares_a_write_depends_on_the_output(tmp_path):
    reading, writing = os.pipe()
    terminal, other = os.openpty()
    try:
        assert Sink.open(str(tmp_path / "file"))._together == FILE_BYTES
        assert Sink.open(f"fd:{writing}")._together in (PIPE_BYTES, 0)
        assert Sink.open(f"fd:{other}")._together == 0
    finally:
        for descriptor in (reading, writing, terminal, other):
            os.close(descriptor)
