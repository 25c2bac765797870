package integration

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

// command is a "govmm run" with the guest's console on its standard streams.
type command struct {
	*guest
	process *os.Process
	stderr  *transcript
	exited  chan struct{}
	state   *os.ProcessState // valid after exited is closed
}

// run starts "govmm run" with a domain. Its log goes to stderr from the level
// info on.
func run(t *testing.T, d domain, args ...string) *command {
	t.Helper()
	return runFile(t, d.file(t), args...)
}

// runFile starts "govmm run" with a domain file.
func runFile(t *testing.T, file string, args ...string) *command {
	t.Helper()
	cmd := govmm(append([]string{"run", "--log-level=info", file}, args...)...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	g := newGuest(t, stdin)
	cmd.Stdout = g.out
	return start(t, g, cmd)
}

func govmm(args ...string) *exec.Cmd { return exec.Command(asset(govmmProgram), args...) }

// start starts a govmm whose console is g's. The end of the test kills it, if
// need be.
func start(t *testing.T, g *guest, cmd *exec.Cmd) *command {
	t.Helper()
	c := &command{guest: g, stderr: newTranscript(), exited: make(chan struct{})}
	cmd.Stderr = c.stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.process = cmd.Process
	go func() {
		_ = cmd.Wait() // the state tells as much
		c.state = cmd.ProcessState
		g.out.end()
		c.stderr.end()
		close(c.exited)
	}()
	t.Cleanup(func() {
		if t.Failed() && c.running() {
			diagnose(t, c.process.Pid)
		}
		_ = c.process.Kill() // fails if it has exited
		<-c.exited
		if t.Failed() {
			t.Logf("govmm said: %s", c.stderr.tail())
		}
	})
	return c
}

func (c *command) running() bool {
	select {
	case <-c.exited:
		return false
	default:
		return true
	}
}

// said waits for a regular expression on standard error.
func (c *command) said(pattern string) []string {
	c.t.Helper()
	said := &guest{t: c.t, out: c.stderr}
	return said.expect(pattern)
}

// exit waits for the end of the process and checks its exit code.
func (c *command) exit(code int) {
	c.t.Helper()
	timeout := time.NewTimer(waitTime)
	defer timeout.Stop()
	select {
	case <-c.exited:
	case <-timeout.C:
		c.t.Fatal("govmm does not end")
	}
	if got := c.state.ExitCode(); got != code {
		c.t.Errorf("govmm ended with exit code %d (%v), want %d", got, c.state, code)
	}
}

// signal sends the process a signal.
func (c *command) signal(s os.Signal) {
	c.t.Helper()
	if err := c.process.Signal(s); err != nil {
		c.t.Fatal(err)
	}
}
