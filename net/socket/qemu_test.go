package socket

import (
	"fmt"
	"os/exec"
	"testing"

	hostnet "github.com/govmm/govmm/net"
)

// hub runs a QEMU without a machine, which passes frames on between its network
// back ends.
func hub(t *testing.T, netdevs ...string) {
	t.Helper()
	program, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		t.Fatalf("%v (package qemu-system-x86)", err)
	}
	args := []string{"-M", "none", "-nodefaults", "-display", "none", "-monitor", "none", "-serial", "none"}
	for i, n := range netdevs {
		args = append(args, "-netdev", fmt.Sprintf("%s,id=n%d", n, i), "-netdev", fmt.Sprintf("hubport,id=h%d,hubid=0,netdev=n%d", i, i))
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	out := &lines{t: t}
	cmd.Stdout, cmd.Stderr = out, out
	must(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		_ = cmd.Wait() // it has been killed
	})
}

// lines logs what QEMU says.
type lines struct{ t *testing.T }

func (l *lines) Write(p []byte) (int, error) {
	l.t.Logf("qemu: %s", p)
	return len(p), nil
}

// Not longer: QEMU takes 68 KiB, a datagram 64.
var qemuLengths = []int{60, 1514, 9014, 65000}

// QEMU passes frames on between its server and client and ours.
func TestQEMUStream(t *testing.T) {
	serving, asking := freePort(t), freePort(t)
	s := server(t, serving)
	c := client(t, asking)
	hub(t, fmt.Sprintf("socket,connect=127.0.0.1:%d", serving), fmt.Sprintf("socket,listen=127.0.0.1:%d", asking))
	linked(t, s, true)
	linked(t, c, true)
	passes(t, s, c)
	exchange(t, s, c, qemuLengths...)
	exchange(t, c, s, qemuLengths...)
}

// QEMU is a member of our multicast group. Other than us it takes what it has
// sent itself, and passes it on.
func TestQEMUMcast(t *testing.T) {
	const group = 5004
	serving := freePort(t)
	s, m := server(t, serving), mcast(t, group)
	hub(t, fmt.Sprintf("socket,mcast=230.0.0.1:%d", group), fmt.Sprintf("socket,connect=127.0.0.1:%d", serving))
	linked(t, s, true)
	passes(t, m, s)
	exchange(t, m, s, qemuLengths...)
	for _, n := range qemuLengths {
		exchange(t, s, m, n)
		if got := receive(t, s); len(got) != hostnet.HeaderSize+n {
			t.Errorf("QEMU gives %d bytes of its own frame back, of %d", len(got)-hostnet.HeaderSize, n)
		}
	}
	none(t, m)
}
