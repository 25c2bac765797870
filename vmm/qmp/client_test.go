package qmp

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	goqemu "github.com/digitalocean/go-qemu/qmp"
	"github.com/govmm/govmm/vmm"
)

// listen serves a socket, and returns its path.
func (r *rig) listen() string {
	r.t.Helper()
	path := filepath.Join(r.t.TempDir(), "qmp.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		r.t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- r.server.Serve(l) }()
	r.t.Cleanup(func() {
		r.close()
		if err := <-served; err != nil {
			r.t.Error(err)
		}
	})
	return path
}

// A client that was written for QEMU.
func TestGoQEMU(t *testing.T) {
	r := newRig(t)
	m, err := goqemu.NewSocketMonitor("unix", r.listen(), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Connect(); err != nil {
		t.Fatal(err)
	}
	defer m.Disconnect()
	if m.Version.String() != "1.2.3" {
		t.Errorf("version %v", m.Version)
	}
	events, err := m.Events(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	run := func(command string) []byte {
		t.Helper()
		answer, err := m.Run([]byte(`{"execute":"` + command + `"}`))
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	stopped := make(chan goqemu.Event, 1)
	go func() { stopped <- <-events }()
	run("stop")
	if e := <-stopped; e.Event != "STOP" || e.Timestamp.Seconds != 12 {
		t.Errorf("event %+v", e)
	}
	var status struct {
		Return struct {
			Status  string
			Running bool
		}
	}
	if err := json.Unmarshal(run("query-status"), &status); err != nil || status.Return.Status != "paused" || status.Return.Running {
		t.Errorf("status %+v, %v", status, err)
	}
	if _, err := m.Run([]byte(`{"execute":"nonsense"}`)); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("nonsense: %v", err)
	}
}

func TestClient(t *testing.T) {
	r := newRig(t)
	path := r.listen()
	ctx := context.Background()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewClient(ctx, conn)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r.machine.happen(vmm.Event{Kind: vmm.EventResumed}) // in between
	var status struct{ Status string }
	if err := c.Execute(ctx, "query-status", nil, &status); err != nil || status.Status != "running" {
		t.Errorf("%v, %v", status, err)
	}
	if err := c.Execute(ctx, "eject", map[string]any{"id": "hdc", "force": true}, nil); err != nil || r.machine.taken() != `change hdc "" true` {
		t.Error(err)
	}
	err = c.Execute(ctx, "eject", map[string]any{"id": "none"}, nil)
	if e, ok := errors.AsType[*Error](err); !ok || e.Class != ClassDeviceNotFound {
		t.Errorf("error %v", err)
	}
	r.machine.happen(vmm.Event{Kind: vmm.EventBalloon, Memory: 4096})
	for e, err := c.Next(ctx); ; e, err = c.Next(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Name == "DEVICE_TRAY_MOVED" { // of the eject, unless it came before the answer
			continue
		}
		if e.Name != "BALLOON_CHANGE" || string(e.Data) != `{"actual":4096}` || e.Time.Unix() != 12 {
			t.Errorf("%+v", e)
		}
		break
	}
	cause := errors.New("enough")
	canceled, cancel := context.WithCancelCause(ctx)
	cancel(cause)
	if err := c.Execute(canceled, "query-status", nil, nil); !errors.Is(err, cause) {
		t.Errorf("canceled: %v", err)
	}
}

// A server that is not one of QMP, or says nothing.
func TestClientRefuses(t *testing.T) {
	for text, want := range map[string]string{
		`{"hello":1}`: "not one of QMP", "SSH-2.0\n": "no greeting", "": "no greeting: context deadline exceeded",
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			ours, theirs := net.Pipe()
			defer theirs.Close()
			go func() { _, _ = theirs.Write([]byte(text)) }()
			if _, err := NewClient(ctx, ours); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v", text, err)
			}
		})
	}
}

// Many at once get their own answers.
func TestConcurrentClients(t *testing.T) {
	r := newRig(t)
	path := r.listen()
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			conn, err := net.Dial("unix", path)
			if err != nil {
				t.Error(err)
				return
			}
			c, err := NewClient(context.Background(), conn)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			for range 50 {
				for _, command := range []string{"stop", "cont", "query-block", "system_reset", "query-status"} {
					if err := c.Execute(context.Background(), command, nil, nil); err != nil {
						t.Errorf("%s: %v", command, err)
					}
				}
			}
		})
	}
	wg.Wait()
}
