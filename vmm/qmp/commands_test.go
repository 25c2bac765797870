package qmp

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/govmm/govmm/vmm"
)

func TestGreeting(t *testing.T) {
	r := newRig(t)
	defer r.close()
	s, greeting := r.connect()
	const want = `{"QMP":{"version":{"qemu":{"major":1,"minor":2,"micro":3},"package":"govmm v1.2.3-4-gabc"},"capabilities":[]}}`
	if greeting != want {
		t.Errorf("greeting %s", greeting)
	}
	for _, test := range [][2]string{
		{`{"execute":"query-status"}`, `"CommandNotFound","desc":"capabilities must be negotiated first`},
		{`{"execute":"quit","id":1}`, `"CommandNotFound"`},
		{`{"execute":"qmp_capabilities","arguments":{"enable":["oob"]}}`, `"GenericError","desc":"the capability 'oob' is not offered"`},
		{`{"execute":"query-status"}`, `"CommandNotFound"`},
		{`{"execute":"qmp_capabilities","arguments":{"enable":[]},"id":"x"}`, `{"return":{},"id":"x"}`},
		{`{"execute":"query-status"}`, `{"return":{"running":true,`},
		{`{"execute":"qmp_capabilities"}`, `"CommandNotFound"`},
	} {
		if got := s.ask(test[0]); !strings.Contains(got, test[1]) {
			t.Errorf("%s: %s", test[0], got)
		}
	}
	if got := r.machine.taken(); got != "" {
		t.Errorf("asked of the machine: %s", got)
	}
}

// Each command's answer, and what it asks of the machine.
func TestCommands(t *testing.T) {
	tests := []struct {
		command string // execute and arguments
		answer  string // the whole return, or a part of the error
		asks    string
	}{
		{`"query-version"`, `{"qemu":{"major":1,"minor":2,"micro":3},"package":"govmm v1.2.3-4-gabc"}`, ""},
		{`"query-name"`, `{"name":"vm one"}`, ""},
		{`"query-uuid"`, `{"UUID":"c7a5fdbd-cdaf-9455-926a-d65c16db1809"}`, ""},
		{`"query-kvm"`, `{"enabled":true,"present":true}`, ""},
		{`"query-status"`, `{"running":true,"status":"running"}`, ""},
		{`"query-cpus-fast"`, `[{"cpu-index":0,"qom-path":"/machine/vcpu[0]","thread-id":101,"target":"x86_64"},` +
			`{"cpu-index":1,"qom-path":"/machine/vcpu[1]","thread-id":102,"target":"x86_64"}]`, ""},
		{`"query-chardev"`, `[{"label":"serial0","filename":"pty:/dev/pts/7","frontend-open":true},` +
			`{"label":"serial1","filename":"null","frontend-open":true}]`, ""},
		{`"query-balloon"`, `{"actual":67108864}`, ""},
		{`"query-block"`, `[{"device":"vda","qdev":"vda","type":"unknown","removable":false,"locked":false,` +
			`"inserted":{"file":"/images/vda.img","ro":false,"drv":"raw","image":{"filename":"/images/vda.img","format":"raw","virtual-size":1048576}}},` +
			`{"device":"hdc","qdev":"hdc","type":"unknown","removable":true,"locked":false,"tray_open":false,` +
			`"inserted":{"file":"/images/one.iso","ro":true,"drv":"raw"}},` +
			`{"device":"fda","qdev":"fda","type":"unknown","removable":true,"locked":false}]`, ""},

		{`"stop"`, `{}`, "pause"},
		{`"cont"`, `{}`, "resume"},
		{`"system_reset"`, `{}`, "reset"},
		{`"system_powerdown"`, `{}`, "power button"},
		{`"balloon","arguments":{"value":33554432}`, `{}`, ""},
		{`"eject","arguments":{"device":"hdc"}`, `{}`, `change hdc "" false`},
		{`"eject","arguments":{"id":"hdc","force":true}`, `{}`, `change hdc "" true`},
		{`"blockdev-change-medium","arguments":{"id":"fda","filename":"/b.img","format":"raw","read-only-mode":"retain"}`, `{}`, `change fda "/b.img" false`},
		{`"blockdev-change-medium","arguments":{"device":"hdc","filename":"/b.iso","force":true}`, `{}`, `change hdc "/b.iso" true`},
		{`"change","arguments":{"device":"hdc","target":"/b.iso","arg":"raw"}`, `{}`, `change hdc "/b.iso" false`},
		{`"blockdev-open-tray","arguments":{"id":"hdc","force":true}`, `{}`, "open hdc true"},
		{`"blockdev-close-tray","arguments":{"device":"hdc"}`, `{}`, "close hdc"},
		{`"blockdev-remove-medium","arguments":{"id":"fda"}`, `{}`, "remove fda"},
		{`"blockdev-add","arguments":{"driver":"file","node-name":"n","filename":"/dev/null","read-only":true}`, `{}`, ""},
		{`"blockdev-add","arguments":{"driver":"raw","node-name":"n","file":{"driver":"host_device","filename":"/dev/null"}}`, `{}`, ""},
		{`"send-key","arguments":{"keys":[{"type":"qcode","data":"ctrl"},{"type":"qcode","data":"alt"},{"type":"qcode","data":"delete"}],"hold-time":100}`,
			`{}`, "keys ctrl-alt-delete"},
		{`"__com.github.govmm_screen-text"`, `{"text":"C:\\\u003e\n"}`, ""},
		{`"__com.github.govmm_screen-text","arguments":{"device":"serial1"}`, `{"text":"login:"}`, ""},
		{`"__com.github.govmm_screen-text","arguments":{"device":"serial0"}`, `no such device`, ""},
		{`"__com.github.govmm_resize-console","arguments":{"device":"console0","columns":132,"rows":50}`, `{}`, "resize console0 132x50"},
		{`"__com.github.govmm_resize-console","arguments":{"device":"console0","columns":65536,"rows":50}`, `'columns' is not`, ""},
		{`"__com.github.govmm_resize-console","arguments":{"device":"console0","rows":50}`, `'columns' is missing`, ""},

		{`"query-target"`, `{"arch":"x86_64"}`, ""},
		{`"query-dump"`, `{"status":"active","completed":1048576,"total":2097152}`, ""},
		{`"query-dump-guest-memory-capability"`, `{"formats":["elf","__com.github.govmm_elf-zstd"]}`, ""},
		{`"dump-guest-memory","arguments":{"paging":false,"protocol":"file:/c"}`, `{}`, "dump /c false"},
		{`"dump-guest-memory","arguments":{"paging":false,"protocol":"file:/c","detach":true,"format":"__com.github.govmm_elf-zstd"}`, `{}`, "dump /c true"},
		{`"dump-guest-memory","arguments":{"paging":true,"protocol":"file:/c"}`, "guest-physical addresses alone", ""},
		{`"dump-guest-memory","arguments":{"paging":false,"protocol":"fd:x"}`, "only 'file:PATH'", ""},
		{`"dump-guest-memory","arguments":{"paging":false,"protocol":"file:c"}`, "not an absolute path", ""},
		{`"dump-guest-memory","arguments":{"paging":false,"protocol":"file:/c","format":"kdump-zlib"}`, "not one of elf", ""},
		{`"dump-guest-memory","arguments":{"paging":false,"protocol":"file:/c","begin":1}`, "'begin' is not known", ""},
		{`"set_link","arguments":{"name":"net0","up":false}`, `{}`, "link net0 false"},
		{`"set_link","arguments":{"name":"net9","up":true}`, `"DeviceNotFound"`, ""},
		{`"set_link","arguments":{"name":"net0"}`, "'up' is missing", ""},
		{`"watchdog-set-action","arguments":{"action":"pause"}`, `{}`, "watchdog pause"},
		{`"watchdog-set-action","arguments":{"action":"explode"}`, "no such action", ""},
		{`"inject-nmi"`, `{}`, "nmi"},
		{`"__com.github.govmm_reboot"`, `{}`, "reboot"},
		{`"query-blockstats"`, `[{"device":"vda","qdev":"vda","stats":{"rd_bytes":4096,"wr_bytes":0,"unmap_bytes":0,` +
			`"rd_operations":2,"wr_operations":0,"flush_operations":0,"unmap_operations":0,` +
			`"failed_rd_operations":0,"failed_wr_operations":1,"failed_flush_operations":0,"failed_unmap_operations":0}}]`, ""},

		{`"__com.github.govmm_dump-cancel"`, `{}`, "cancel dump"},
		{`"__com.github.govmm_query-memstats"`, `{"stats":{"stat-htlb-pgfail":1,"stat-swap-in":4096}}`, ""},
		{`"__com.github.govmm_query-netstats"`, `[{"device":"net0","stats":{"rx_bytes":1514,"rx_packets":0,"rx_errs":0,"rx_drop":0,` +
			`"tx_bytes":0,"tx_packets":3,"tx_errs":0,"tx_drop":1}}]`, ""},

		{`"query-status","arguments":{"x":1,"a":2}`, "parameter 'a' is not known", ""},
		{`"stop","arguments":{"x":1}`, "parameter 'x' is not known", ""},
		{`"stop","arguments":[]`, "member 'arguments' is not an object", ""},
		{`"stop","arguments":null`, "member 'arguments' is not an object", ""},
		{`"human-monitor-command","arguments":{"command-line":"info"}`, `"CommandNotFound"`, ""},
		{`"balloon"`, "parameter 'value' is missing", ""},
		{`"balloon","arguments":{"value":-1}`, "'value' is not a number of", ""},
		{`"balloon","arguments":{"value":0}`, "'value' is 0", ""},
		{`"balloon","arguments":{"value":1e99}`, "'value' is not a number of", ""},
		{`"eject"`, "parameter 'id' is missing", ""},
		{`"eject","arguments":{"id":"hdc","device":"hdc"}`, "exclude", ""},
		{`"eject","arguments":{"id":"hdd"}`, `"DeviceNotFound","desc":"there is no disk 'hdd'`, ""},
		{`"eject","arguments":{"id":"hdc","force":"yes"}`, "'force' is not true or false", ""},
		{`"blockdev-change-medium","arguments":{"id":"hdc"}`, "'filename' is missing", ""},
		{`"blockdev-change-medium","arguments":{"id":"hdc","filename":""}`, "'filename' is empty", ""},
		{`"blockdev-change-medium","arguments":{"id":"hdc","filename":null}`, "'filename' is not a string", ""},
		{`"blockdev-change-medium","arguments":{"id":"hdc","filename":"/x","format":"qcow2"}`, "are raw, not qcow2", ""},
		{`"blockdev-change-medium","arguments":{"id":"hdc","filename":"/x","read-only-mode":"read-write"}`, "only 'retain'", ""},
		{`"change","arguments":{"device":"vnc","target":"password"}`, `"DeviceNotFound"`, ""},
		{`"change","arguments":{"device":"hdc","target":""}`, "'target' is empty", ""},
		{`"change","arguments":{"device":"hdc","target":"/x","arg":"qcow2"}`, "'arg': the domain says that the images of hdc are raw", ""},
		{`"blockdev-open-tray","arguments":{"id":"hdd"}`, `"DeviceNotFound"`, ""},
		{`"blockdev-insert-medium","arguments":{"id":"hdc"}`, "'node-name' is missing", ""},
		{`"blockdev-insert-medium","arguments":{"id":"hdc","node-name":"n"}`, "no node 'n'; blockdev-add", ""},
		{`"blockdev-del","arguments":{"node-name":"n"}`, "no node 'n'", ""},
		{`"blockdev-add","arguments":{"driver":"file","node-name":"","filename":"/dev/null"}`, "is empty", ""},
		{`"blockdev-add","arguments":{"driver":"file","node-name":"n"}`, "has no file", ""},
		{`"blockdev-add","arguments":{"driver":"raw","node-name":"n","file":"other"}`, "has no file", ""},
		{`"blockdev-add","arguments":{"driver":"raw","node-name":"n","file":{"driver":"nbd"}}`, "has no file", ""},
		{`"blockdev-add","arguments":{"driver":"file","node-name":"n","filename":"/nonexistent"}`, "no such file", ""},
		{`"send-key"`, "'keys' is missing", ""},
		{`"send-key","arguments":{"keys":[]}`, "'keys' is empty", ""},
		{`"send-key","arguments":{"keys":{}}`, "'keys' is not", ""},
		{`"send-key","arguments":{"keys":[{"type":"qcode","data":"any"}]}`, "no key 'any'", ""},
		{`"send-key","arguments":{"keys":[{"type":"number","data":28}]}`, "type 'number'", ""},
		{`"send-key","arguments":{"keys":[{"type":"qcode","data":28}]}`, "no key '28'", ""},
		{`"screendump"`, "'filename' is missing", ""},
		{`"screendump","arguments":{"filename":"/nonexistent/x"}`, "no such file", ""},
		{`"screendump","arguments":{"filename":"/x","format":"gif"}`, "not one of ppm, png", ""},
		{`"screendump","arguments":{"filename":"/x","head":1}`, "one screen", ""},
	}
	for _, test := range tests {
		t.Run(test.command, func(t *testing.T) {
			r := newRig(t)
			defer r.close()
			s := r.open()
			defer s.conn.Close()
			s.send(`{"id":{"a":[1, null]},"execute":` + test.command + `}`)
			got := s.read()
			for strings.HasPrefix(got, `{"event"`) {
				got = s.read() // it may overtake the answer, as in QEMU
			}
			text, hasID := strings.CutSuffix(got, `,"id":{"a":[1,null]}}`)
			value, ok := strings.CutPrefix(text, `{"return":`)
			if !hasID || ok && value != test.answer || !ok && !strings.Contains(got, test.answer) {
				t.Errorf("answer %s, not %s", got, test.answer)
			}
			if asked := r.machine.taken(); asked != test.asks {
				t.Errorf("asked of the machine: %s, not %s", asked, test.asks)
			}
		})
	}
}

func TestQueryCommands(t *testing.T) {
	r := newRig(t)
	defer r.close()
	got := r.open().ask(`{"execute":"query-commands"}`)
	for _, c := range commands() {
		if !strings.Contains(got, `{"name":"`+c.name+`"}`) {
			t.Errorf("%s is not in %s", c.name, got)
		}
	}
	if len(r.server.commands) != len(commands()) {
		t.Error("a command stands twice")
	}
}

// What the machine cannot do is told in its own words.
func TestMachineErrors(t *testing.T) {
	r := newRig(t)
	defer r.close()
	s := r.open()
	for _, test := range []struct {
		fails         error
		command, want string
	}{
		{vmm.ErrNotRunning, `"stop"`, `{"error":{"class":"GenericError","desc":"the machine is not running"}}`},
		{vmm.ErrNoBalloon, `"balloon","arguments":{"value":1}`, `{"error":{"class":"DeviceNotActive","desc":"the machine has no memory balloon"}}`},
		{vmm.ErrNoBalloon, `"__com.github.govmm_query-memstats"`, `{"error":{"class":"DeviceNotActive"`},
		{vmm.ErrNoScreen, `"screendump","arguments":{"filename":"/nonexistent/x"}`, `no display adapter`},
		{vmm.ErrNoScreen, `"__com.github.govmm_screen-text"`, `no display adapter`},
		{errors.New("drive hdc: locked"), `"eject","arguments":{"id":"hdc"}`, `"drive hdc: locked"`},
	} {
		r.machine.fails = test.fails
		if got := s.ask(`{"execute":` + test.command + `}`); !strings.Contains(got, test.want) {
			t.Errorf("%s: %s", test.command, got)
		}
	}
	if got := s.ask(`{"execute":"query-block"}`); !strings.Contains(got, "/images/one.iso") {
		t.Errorf("after a failure: %s", got)
	}
}

func TestNoBalloon(t *testing.T) {
	r := newRig(t)
	defer r.close()
	r.server.domain.Devices.MemBalloons[0].Model = "none"
	if got := r.open().ask(`{"execute":"query-balloon"}`); !strings.Contains(got, ClassDeviceNotActive) {
		t.Error(got)
	}
}

// query-block follows what clients and the guest do.
func TestMediaFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		s := r.open()
		block := func() string {
			synctest.Wait()
			got := s.ask(`{"execute":"query-block"}`)
			_, hdc, _ := strings.Cut(got, `"qdev":"hdc",`)
			hdc, _, _ = strings.Cut(hdc, `,{"device":"fda"`)
			return hdc
		}
		const drive = `"type":"unknown","removable":true,"locked":`
		s.send(`{"execute":"eject","arguments":{"id":"hdc"}}`)
		both(t, s, `{"return":{}}`, `"DEVICE_TRAY_MOVED","data":{"device":"hdc","id":"hdc","tray-open":true}`)
		if got := block(); got != drive+`false,"tray_open":true}` {
			t.Errorf("after eject: %s", got)
		}
		s.send(`{"execute":"blockdev-change-medium","arguments":{"id":"hdc","filename":"/two.iso"}}`)
		both(t, s, `{"return":{}}`, `"tray-open":false`)
		r.machine.locked = true
		if got := block(); got != drive+`true,"tray_open":false,"inserted":{"file":"/two.iso","ro":true,"drv":"raw"}}` {
			t.Errorf("after change: %s", got)
		}
		r.machine.happen(vmm.Event{Kind: vmm.EventTray, Device: "hdc", Open: true})
		s.read()
		if got := block(); got != drive+`true,"tray_open":true,"inserted":{"file":"/two.iso","ro":true,"drv":"raw"}}` {
			t.Errorf("after the guest opened it: %s", got)
		}
	})
}

// The steps in which libvirt changes a medium, with names for the images.
func TestTraySteps(t *testing.T) {
	r := newRig(t)
	defer r.close()
	s := r.open()
	image := filepath.Join(t.TempDir(), "two.iso")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	step := func(command, want, asks string) {
		t.Helper()
		s.send(`{"execute":` + command + `}`)
		got := s.read()
		for strings.HasPrefix(got, `{"event"`) {
			got = s.read()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s: %s, not %s", command, got, want)
		}
		if asked := r.machine.taken(); asked != asks {
			t.Errorf("%s: asked of the machine: %s, not %s", command, asked, asks)
		}
	}
	const done = `{"return":{}}`
	r.machine.locked = true
	step(`"blockdev-open-tray","arguments":{"id":"hdc"}`, done, "") // the guest is asked
	step(`"blockdev-open-tray","arguments":{"id":"hdc","force":true}`, done, "open hdc true")
	step(`"blockdev-remove-medium","arguments":{"id":"hdc"}`, done, "remove hdc")
	step(`"query-block"`, `"hdc","type":"unknown","removable":true,"locked":true,"tray_open":true},`, "")
	step(`"blockdev-add","arguments":{"driver":"file","node-name":"storage","filename":"`+image+`"}`, done, "")
	step(`"blockdev-add","arguments":{"driver":"raw","node-name":"format","file":"storage","read-only":true}`, done, "")
	step(`"blockdev-add","arguments":{"driver":"raw","node-name":"format","file":"storage"}`, "taken", "")
	step(`"blockdev-add","arguments":{"driver":"qed","node-name":"qed","file":"storage"}`, done, "")
	step(`"blockdev-insert-medium","arguments":{"id":"hdc","node-name":"qed"}`, "the node 'qed' is qed", "")
	step(`"blockdev-insert-medium","arguments":{"id":"hdc","node-name":"format"}`, done, "insert hdc "+image)
	step(`"blockdev-close-tray","arguments":{"id":"hdc"}`, done, "close hdc")
	step(`"query-block"`, `"tray_open":false,"inserted":{"file":"`+image+`"`, "")
	step(`"blockdev-del","arguments":{"node-name":"format"}`, "is in the drive hdc", "")
	step(`"eject","arguments":{"id":"hdc"}`, done, `change hdc "" false`)
	for _, name := range []string{"format", "qed", "storage"} {
		step(`"blockdev-del","arguments":{"node-name":"`+name+`"}`, done, "")
	}
	r.machine.fails = errors.New("drive hdc: " + vmm.ErrTrayClosed.Error())
	step(`"blockdev-remove-medium","arguments":{"id":"hdc"}`, "the tray is closed", "remove hdc")
}

// A client cannot make the server keep names without end.
func TestManyNodes(t *testing.T) {
	r := newRig(t)
	defer r.close()
	s := r.open()
	for i := range maxNodes + 1 {
		got := s.ask(fmt.Sprintf(`{"execute":"blockdev-add","arguments":{"driver":"file","node-name":"n%d","filename":"/dev/null"}}`, i))
		if ok := got == `{"return":{}}`; ok != (i < maxNodes) {
			t.Errorf("node %d: %s", i, got)
		}
	}
}

// both reads two messages that come in either order.
func both(t *testing.T, s *session, answer, event string) {
	t.Helper()
	one, two := s.read(), s.read()
	if strings.HasPrefix(one, `{"event"`) {
		one, two = two, one
	}
	if one != answer || !strings.Contains(two, event) {
		t.Errorf("answer %s, event %s", one, two)
	}
}

// A guest that has not taken the last keys yet is given some time.
func TestKeysToBusyGuest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		s := r.open()
		const press = `{"execute":"send-key","arguments":{"keys":[{"type":"qcode","data":"f12"}]}}`
		r.machine.busy = 50
		if got := s.ask(press); got != `{"return":{}}` || r.machine.taken() != "keys f12" {
			t.Errorf("busy for a while: %s", got)
		}
		r.machine.busy = 1 << 30
		if got := s.ask(press); !strings.Contains(got, "the buffer is full") {
			t.Errorf("busy forever: %s", got)
		}
	})
}
