package vmm_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/govmm/govmm/tests/tiny"
	"github.com/govmm/govmm/vmm"
)

// emptyImage makes an image of so many bytes.
func emptyImage(t *testing.T, name string, size int64) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := errors.Join(os.WriteFile(name, nil, 0o600), os.Truncate(name, size)); err != nil {
		t.Fatal(err)
	}
	return name
}

// The tray of a CD-ROM drive is opened, filled and closed step by step; a floppy drive
// does without.
func TestTray(t *testing.T) {
	disc, floppy := emptyImage(t, "disc.iso", 64<<10), emptyImage(t, "floppy.img", 1440<<10)
	m, out := newMachine(t, tiny.Options{Cmdline: "test=boot exit=hang", Devices: `
<disk type='file'><source file='` + emptyImage(t, "disk", 1<<20) + `'/><target dev='vda' bus='virtio'/></disk>
<disk type='file' device='cdrom'><source file='` + disc + `'/><target dev='hdc' bus='ide'/><readonly/></disk>
<disk type='file' device='floppy'><target dev='fda' bus='fdc'/></disk>`})
	ctx := deadline(t)
	if err := m.OpenTray(ctx, "hdc", false); !errors.Is(err, vmm.ErrNotRunning) {
		t.Errorf("before the start: %v", err)
	}
	events, cancel := m.Subscribe(64)
	defer cancel()
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	out.wait(t, "done ", 1)
	moved := func(open bool) {
		t.Helper()
		if e := next(t, events, vmm.EventTray); e.Device != "hdc" || e.Open != open {
			t.Errorf("event %+v, want open=%v", e, open)
		}
	}
	for name, tt := range map[string]struct {
		err  error
		want string
	}{
		"unknown":      {m.OpenTray(ctx, "hdd", false), "no such device"},
		"hard disk":    {m.CloseTray(ctx, "vda"), "vda: it is a hard disk"},
		"closed":       {m.RemoveMedium(ctx, "hdc"), vmm.ErrTrayClosed.Error()},
		"occupied":     {m.InsertMedium(ctx, "hdc", disc), "there is a medium"},
		"wrong":        {m.InsertMedium(ctx, "fda", emptyImage(t, "wrong.img", 64<<10)), "floppy"},
		"missing":      {m.InsertMedium(ctx, "fda", "/nonexistent"), "no such file"},
		"of hard disk": {m.InsertMedium(ctx, "vda", disc), "vda: it is a hard disk"},
	} {
		if tt.err == nil || !strings.Contains(tt.err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, tt.err, tt.want)
		}
	}
	step := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	step(m.OpenTray(ctx, "hdc", false))
	moved(true)
	step(m.RemoveMedium(ctx, "hdc"))
	step(m.RemoveMedium(ctx, "hdc"))
	step(m.CloseTray(ctx, "hdc"))
	moved(false)
	if err := m.InsertMedium(ctx, "hdc", disc); !errors.Is(err, vmm.ErrTrayClosed) {
		t.Errorf("into the closed tray: %v", err)
	}
	step(m.OpenTray(ctx, "hdc", true))
	moved(true)
	step(m.InsertMedium(ctx, "hdc", disc))
	step(m.CloseTray(ctx, "hdc"))
	moved(false)

	for range 2 {
		step(m.OpenTray(ctx, "fda", false))
		step(m.InsertMedium(ctx, "fda", floppy))
		if err := m.InsertMedium(ctx, "fda", floppy); err == nil {
			t.Error("two floppies in one drive")
		}
		step(m.CloseTray(ctx, "fda"))
		step(m.RemoveMedium(ctx, "fda"))
	}
}
