package reassemble

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// fileWriteBytes is what of lines a write to a regular file holds at most.
	fileWriteBytes = 64 << 10
	// pipeWriteBytes is what a write to a pipe holds at most, unless one line is longer: PIPE_BUF, up to which Linux takes a write as one piece.
	pipeWriteBytes = 4096
)

// sink is an open output. No line is spread over two writes, save where the first was cut short; after a line that could not be written whole
// the next begins on a line of its own.
//
// Lines that lie ready together share a write where that can't mix them with what others write: a regular file takes a write of any length as
// one piece, a pipe one of up to pipeWriteBytes. Anything else gets each line by itself.
type sink struct {
	to io.Writer
	// own is what the emitter itself opened, and closes; nil where the app gave the output.
	own *os.File
	// path is that of a file which can be opened again; empty for other outputs.
	path string
	// sharedBytes is the longest write of more lines than one.
	sharedBytes int
	// torn says that the last write stopped within a line, gone that no later one can succeed.
	torn, gone bool
}

// descriptorOf reads `fd:N`.
func descriptorOf(output string) (descriptor int, isDescriptor bool, err error) {
	digits, isDescriptor := strings.CutPrefix(output, "fd:")
	if !isDescriptor {
		return 0, false, nil
	}
	n, err := strconv.ParseUint(digits, 10, 31)
	return int(n), true, err
}

// openSink opens what Output names.
func openSink(output string) (*sink, error) {
	descriptor, isDescriptor, err := descriptorOf(output)
	if err != nil {
		return nil, &SettingError{"Output", output, "`stdout`, `stderr`, `off`, `fd:N` of an open descriptor, or a file's path"}
	}
	var file *os.File
	path := ""
	switch {
	case output == "stdout":
		file, err = duplicate(1, output)
	case output == "stderr":
		file, err = duplicate(2, output)
	case isDescriptor:
		file, err = duplicate(descriptor, output)
	default:
		path = output
		file, err = openFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("capture output %q can't be opened: %w", output, err)
	}
	return &sink{to: file, own: file, path: path, sharedBytes: sharedBytes(file)}, nil
}

// openFile opens a file for appending; it is created for its owner alone, for captures hold what users sent.
func openFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
}

func sharedBytes(file *os.File) int {
	info, err := file.Stat()
	switch {
	case err != nil:
		return 0
	case info.Mode().IsRegular():
		return fileWriteBytes
	case info.Mode()&os.ModeNamedPipe != 0 && runtime.GOOS == "linux":
		return pipeWriteBytes
	default:
		return 0
	}
}

// reopen opens the path again, after the file there was renamed away. Where that fails, the old file goes on.
func (s *sink) reopen() {
	if s.path == "" {
		return
	}
	file, err := openFile(s.path)
	if err != nil {
		return
	}
	s.close()
	*s = sink{to: file, own: file, path: s.path, sharedBytes: sharedBytes(file)}
}

// close closes what the emitter itself opened.
func (s *sink) close() {
	if s.own != nil && s.own != os.Stdout && s.own != os.Stderr {
		s.own.Close() // all that matters was written
	}
}

// writeLines writes whole lines, and tells where in them those begin that were lost, whole or in part.
func (s *sink) writeLines(lines []byte, lost func(at int)) {
	for at := 0; at < len(lines); {
		together := at + s.together(lines[at:])
		if written, ok := s.writeTogether(lines[at:together]); !ok {
			// What the failed write took of the first lines did arrive.
			line := at + bytes.LastIndexByte(lines[at:at+written], '\n') + 1
			for line < together {
				lost(line)
				line += lineBytes(lines[line:together])
			}
		}
		at = together
	}
}

// together is how many bytes of these lines the next write takes.
func (s *sink) together(lines []byte) int {
	if len(lines) <= s.sharedBytes {
		return len(lines)
	}
	if newline := bytes.LastIndexByte(lines[:s.sharedBytes], '\n'); newline >= 0 {
		return newline + 1
	}
	return lineBytes(lines)
}

func lineBytes(lines []byte) int {
	if newline := bytes.IndexByte(lines, '\n'); newline >= 0 {
		return newline + 1
	}
	return len(lines)
}

func (s *sink) writeTogether(lines []byte) (written int, ok bool) {
	if s.gone {
		return 0, false
	}
	if s.torn {
		if _, ok := s.write([]byte("\n")); !ok {
			return 0, false
		}
		s.torn = false
	}
	return s.write(lines)
}

func (s *sink) write(data []byte) (written int, ok bool) {
	for written < len(data) {
		n, err := s.to.Write(data[written:])
		written += max(n, 0)
		if err == nil && n <= 0 {
			err = io.ErrShortWrite
		}
		if errors.Is(err, syscall.EAGAIN) {
			// Somebody (a terminal's other user) has set the descriptor not to block.
			time.Sleep(time.Millisecond)
			continue
		}
		if err != nil && !errors.Is(err, io.ErrShortWrite) || n <= 0 {
			s.torn = s.torn || written > 0 && data[written-1] != '\n'
			s.gone = errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.EBADF) || errors.Is(err, os.ErrClosed)
			return min(written, len(data)), false
		}
	}
	return written, true
}
