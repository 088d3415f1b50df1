package reassemble

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestAFileIsAppendedToAndReopenedAfterARotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.log")
	must(t, os.WriteFile(path, []byte("before\n"), 0o600))
	e, err := New(Output(path))
	must(t, err)
	one := func(url string) {
		e.Begin(context.Background(), "x", "x", url).Start().Finish()
		must(t, e.Flush(context.Background()))
	}
	one("x://first")
	must(t, os.Rename(path, path+".1"))
	one("x://second")
	e.Reopen()
	one("x://third")
	closed(t, e)
	old, err := os.ReadFile(path + ".1")
	must(t, err)
	if before, rest, _ := strings.Cut(string(old), "\n"); before != "before" || len(readCaptures(t, []byte(rest)).exchanges) != 2 {
		t.Errorf("the old file: %s", old)
	}
	anew, err := os.ReadFile(path)
	must(t, err)
	readCaptures(t, anew).of("out", "third")
	info, err := os.Stat(path)
	must(t, err)
	equal(t, "mode", info.Mode().Perm(), os.FileMode(0o600))
}

func TestAFileOfTheAppsOwnIsLeftOpen(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "x"))
	must(t, err)
	e, err := New(OutputWriter(file))
	must(t, err)
	e.Begin(context.Background(), "x", "x", "x://1").Start().Finish()
	closed(t, e)
	if _, err := file.Write([]byte("more")); err != nil {
		t.Error(err)
	}
	must(t, file.Close())
}

// writes is an output that keeps each write.
type writes struct {
	texts []string
	fail  func(text string) (int, error)
}

func (w *writes) Write(text []byte) (int, error) {
	if w.fail != nil {
		if n, err := w.fail(string(text)); n != len(text) || err != nil {
			w.texts = append(w.texts, string(text[:n]))
			return n, err
		}
	}
	w.texts = append(w.texts, string(text))
	return len(text), nil
}

func TestLinesShareAWriteOnlyUpToWhatIsOnePiece(t *testing.T) {
	lines := []byte("aaa\nbb\ncccccc\nd\n")
	for shared, want := range map[int]string{
		0: `["aaa\n" "bb\n" "cccccc\n" "d\n"]`, 7: `["aaa\nbb\n" "cccccc\n" "d\n"]`, 6: `["aaa\n" "bb\n" "cccccc\n" "d\n"]`, 100: `["aaa\nbb\ncccccc\nd\n"]`,
	} {
		to := &writes{}
		(&sink{to: to, sharedBytes: shared}).writeLines(lines, func(int) { t.Error("a line was lost") })
		equal(t, fmt.Sprint(shared), fmt.Sprintf("%q", to.texts), want)
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "x"))
	must(t, err)
	defer file.Close()
	read, write, err := os.Pipe()
	must(t, err)
	defer read.Close()
	defer write.Close()
	equal(t, "file", sharedBytes(file), 64<<10)
	equal(t, "pipe", sharedBytes(write), 4096)
}

func TestATornLineIsEndedBeforeTheNextAndCountedAsLost(t *testing.T) {
	to := &writes{}
	to.fail = func(text string) (int, error) {
		if strings.HasPrefix(text, "aaa") {
			return 6, errors.New("full")
		}
		return len(text), nil
	}
	s := &sink{to: to, sharedBytes: 100}
	var lost []int
	s.writeLines([]byte("aaa\nbb\nc\n"), func(at int) { lost = append(lost, at) })
	s.writeLines([]byte("d\n"), func(int) { t.Error("the next line was lost") })
	equal(t, "lost", fmt.Sprint(lost), "[4 7]")
	equal(t, "written", strings.Join(to.texts, ""), "aaa\nbb\nd\n")
	to.fail = func(string) (int, error) { return 0, syscall.EPIPE }
	s.writeLines([]byte("e\n"), func(int) {})
	equal(t, "gone", s.gone, true)
	again := 0
	to.fail = func(text string) (int, error) {
		if again++; again == 1 {
			return 1, syscall.EAGAIN
		}
		return len(text), nil
	}
	(&sink{to: to}).writeLines([]byte("fg\n"), func(int) { t.Error("a line was lost") })
	equal(t, "after waiting", strings.Join(to.texts[len(to.texts)-2:], ""), "fg\n")
}

// TestMain lets the test binary be the app that other tests start.
func TestMain(m *testing.M) {
	if os.Getenv("TEST_APP") != "" {
		app()
		return
	}
	os.Exit(m.Run())
}

// app captures two requests; between them it waits until its standard input ends.
func app() {
	e, err := FromEnv()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	e.Begin(context.Background(), "x", "x", "x://first").Start().Finish()
	io.Copy(io.Discard, os.Stdin)
	e.Begin(context.Background(), "x", "x", "x://second").Start().Finish()
	if err := e.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	fmt.Fprintf(os.Stderr, "%+v\n", e.Counts())
}

func startApp(t *testing.T, output string) *exec.Cmd {
	t.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), "TEST_APP=1", "CAPTURE_OUTPUT="+output)
	return command
}

func TestStandardStreamsAndDescriptorsBearLines(t *testing.T) {
	for _, output := range []string{"stdout", "fd:3"} {
		command := startApp(t, output)
		read, write, err := os.Pipe()
		must(t, err)
		if output == "stdout" {
			command.Stdout = write
		} else {
			command.ExtraFiles = []*os.File{write}
		}
		must(t, command.Start())
		write.Close()
		log, err := io.ReadAll(read)
		must(t, err)
		must(t, command.Wait())
		c := readCaptures(t, log)
		equal(t, output, fmt.Sprint(len(c.exchanges), c.metas[len(c.metas)-1].Finished), "2 2")
	}
	text, err := startApp(t, "stderr").CombinedOutput()
	must(t, err)
	equal(t, "stderr", strings.Count(string(text), `"cap1"`), 5)
}

func TestAReaderThatGoesAwayDoesNotEndTheApp(t *testing.T) {
	command := startApp(t, "stdout")
	read, write, err := os.Pipe()
	must(t, err)
	command.Stdout = write
	var said strings.Builder
	command.Stderr = &said
	input, err := command.StdinPipe()
	must(t, err)
	must(t, command.Start())
	write.Close()
	first := make([]byte, 1)
	_, err = io.ReadFull(read, first)
	must(t, err)
	read.Close()
	input.Close()
	if err := command.Wait(); err != nil {
		t.Errorf("the app ended with %v", err)
	}
	if !strings.Contains(said.String(), "Begun:") || strings.Contains(said.String(), "LostLines:0") {
		t.Errorf("%s", said.String())
	}
}
