package net

import (
	"errors"
	"slices"
	"strings"
	"testing"

	hostnet "github.com/govmm/govmm/net"
	"github.com/govmm/govmm/tests/await"
	"github.com/govmm/govmm/virtio"
	"github.com/govmm/govmm/virtio/queue/queuetest"
)

const allControl = FeatureCtrlVQ | FeatureCtrlRX | FeatureCtrlRXExtra | FeatureCtrlVLAN | FeatureCtrlMACAddr |
	FeatureGuestAnnounce | FeatureStatus | FeatureMQ | FeatureCtrlGuestOffloads | FeatureGuestCSUM | FeatureGuestTSO4

// TestControlAnswers has commands that are right and wrong. None of them stops
// the queue.
func TestControlAnswers(t *testing.T) {
	mac := []byte("\x52\x54\x00\x09\x09\x09")
	big := slices.Concat(le32(70), make([]byte, 70*6))
	for _, tt := range []struct {
		name    string
		needs   virtio.Features
		command uint16
		data    []byte
		want    byte
	}{
		{"promiscuous off", FeatureCtrlRX, ctrlPromiscuous, []byte{0}, ackOK},
		{"promiscuous on", FeatureCtrlRX, ctrlPromiscuous, []byte{1}, ackOK},
		{"promiscuous 2", FeatureCtrlRX, ctrlPromiscuous, []byte{2}, ackErr},
		{"promiscuous without data", FeatureCtrlRX, ctrlPromiscuous, nil, ackErr},
		{"promiscuous, too long", FeatureCtrlRX, ctrlPromiscuous, []byte{1, 1}, ackErr},
		{"all multicast", FeatureCtrlRX, ctrlAllMulticast, []byte{1}, ackOK},
		{"all unicast", FeatureCtrlRXExtra, ctrlAllUnicast, []byte{1}, ackOK},
		{"no multicast", FeatureCtrlRXExtra, ctrlNoMulticast, []byte{1}, ackOK},
		{"no unicast", FeatureCtrlRXExtra, ctrlNoUnicast, []byte{1}, ackOK},
		{"no broadcast", FeatureCtrlRXExtra, ctrlNoBroadcast, []byte{1}, ackOK},
		{"no such mode", FeatureCtrlRX, 0x0006, []byte{1}, ackErr},
		{"address", FeatureCtrlMACAddr, ctrlMACAddrSet, mac, ackOK},
		{"address, short", FeatureCtrlMACAddr, ctrlMACAddrSet, mac[:5], ackErr},
		{"address, long", FeatureCtrlMACAddr, ctrlMACAddrSet, append(slices.Clone(mac), 0), ackErr},
		{"group address", FeatureCtrlMACAddr, ctrlMACAddrSet, []byte(toAll), ackErr},
		{"tables, empty", FeatureCtrlRX, ctrlMACTableSet, make([]byte, 8), ackOK},
		{"tables", FeatureCtrlRX, ctrlMACTableSet, slices.Concat(le32(1), mac, le32(2), mac, mac), ackOK},
		{"tables, large", FeatureCtrlRX, ctrlMACTableSet, slices.Concat(big, big), ackOK},
		{"tables, one missing", FeatureCtrlRX, ctrlMACTableSet, slices.Concat(le32(1), mac), ackErr},
		{"tables, short", FeatureCtrlRX, ctrlMACTableSet, slices.Concat(le32(2), mac, le32(0)), ackErr},
		{"tables, long", FeatureCtrlRX, ctrlMACTableSet, make([]byte, 9), ackErr},
		{"tables, count wraps", FeatureCtrlRX, ctrlMACTableSet, slices.Concat(le32(0xFFFFFFFF), mac, le32(0)), ackErr},
		{"tables, none", FeatureCtrlRX, ctrlMACTableSet, nil, ackErr},
		{"vlan", FeatureCtrlVLAN, ctrlVLANAdd, le16(4095), ackOK},
		{"vlan 4096", FeatureCtrlVLAN, ctrlVLANAdd, le16(4096), ackErr},
		{"vlan, short", FeatureCtrlVLAN, ctrlVLANDel, []byte{0}, ackErr},
		{"vlan removed", FeatureCtrlVLAN, ctrlVLANDel, le16(1), ackOK},
		{"announced without being asked", FeatureGuestAnnounce, ctrlAnnounceAck, nil, ackErr},
		{"pairs", FeatureMQ, ctrlPairsSet, le16(2), ackOK},
		{"no pairs", FeatureMQ, ctrlPairsSet, le16(0), ackErr},
		{"too many pairs", FeatureMQ, ctrlPairsSet, le16(4), ackErr},
		{"pairs, short", FeatureMQ, ctrlPairsSet, []byte{2}, ackErr},
		{"offloads off", FeatureCtrlGuestOffloads, ctrlGuestOffloads, le64(0), ackOK},
		{"offloads", FeatureCtrlGuestOffloads, ctrlGuestOffloads, le64(uint64(FeatureGuestCSUM | FeatureGuestTSO4)), ackOK},
		{"offloads, not negotiated", FeatureCtrlGuestOffloads, ctrlGuestOffloads, le64(uint64(FeatureGuestTSO6)), ackErr},
		{"offloads, not one", FeatureCtrlGuestOffloads, ctrlGuestOffloads, le64(1 << 40), ackErr},
		{"offloads, short", FeatureCtrlGuestOffloads, ctrlGuestOffloads, le32(0), ackErr},
		{"no such class", 0, 0x0900, nil, ackErr},
		{"no such command", 0, 0x0409, nil, ackErr},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := start(t, Options{Backend: newFakeHost(t, 3), QueuePairs: 3}, form{}, allControl)
			if got := m.control(tt.command, tt.data...); got != tt.want {
				t.Errorf("answer %d, want %d", got, tt.want)
			}
			if got := m.control(ctrlPromiscuous, 1); got != ackOK {
				t.Errorf("afterwards: answer %d", got)
			}
			if tt.needs == 0 {
				return
			}
			m.dev.Reset()
			m.activate(form{}, allControl&^tt.needs)
			if got := m.control(tt.command, tt.data...); got != ackErr {
				t.Errorf("not negotiated: answer %d", got)
			}
		})
	}
}

// TestControlHostile has commands that cannot be answered, and no commands.
func TestControlHostile(t *testing.T) {
	m := start(t, Options{Backend: newFakeHost(t, 1)}, form{}, allControl)
	q := m.queues[2]
	for _, data := range [][]byte{nil, {0}} {
		bufs := []queuetest.Buffer{q.Writable(1)}
		if data != nil {
			bufs = []queuetest.Buffer{q.Readable(data), q.Writable(1)}
		}
		q.Do(bufs...)
		if got := q.Bytes(bufs[len(bufs)-1])[0]; got != ackErr {
			t.Errorf("command %x: answer %d", data, got)
		}
	}
	q.Add(q.Readable([]byte{0, 0, 1}))
	q.Kick()
	await.That(t, "the device needing a reset", func() bool { return m.why() != nil })
	if why := m.why().Error(); !strings.Contains(why, "without room for the answer") {
		t.Errorf("because: %s", why)
	}
}

// TestFilter has a driver command the filter, and says which of these frames
// pass then.
func TestFilter(t *testing.T) {
	own, other := string(testMAC[:]), "\x52\x54\x00\x09\x09\x09"
	multi := "\x01\x00\x5e\x00\x00\x01"
	tagged := func(vlan uint16) string {
		return own + "\x52\x54\x00\x00\x00\x01\x81\x00" + string([]byte{byte(vlan >> 8), byte(vlan)})
	}
	frames := map[string]string{"own": own, "other": other, "multi": multi, "all": toAll, "vlan7": tagged(7), "vlan8": tagged(8 | 3<<13)}
	type command struct {
		command uint16
		data    []byte
	}
	quiet := command{ctrlPromiscuous, []byte{0}}
	on := func(c uint16) command { return command{c, []byte{1}} }
	tables := func(uni, multi string) command {
		return command{ctrlMACTableSet, slices.Concat(le32(uint32(len(uni)/6)), []byte(uni), le32(uint32(len(multi)/6)), []byte(multi))}
	}
	for _, tt := range []struct {
		name     string
		without  virtio.Features
		commands []command
		pass     string
	}{
		{"nothing said", 0, nil, "all multi other own vlan7 vlan8"},
		{"nothing negotiated", allControl, nil, "all multi other own vlan7 vlan8"},
		{"own only", 0, []command{quiet}, "all own"},
		{"no vlan filter", FeatureCtrlVLAN, []command{quiet}, "all own vlan7 vlan8"},
		{"a vlan", 0, []command{quiet, {ctrlVLANAdd, le16(7)}}, "all own vlan7"},
		{"a vlan, priority", 0, []command{quiet, {ctrlVLANAdd, le16(8)}}, "all own vlan8"},
		{"a vlan, removed", 0, []command{quiet, {ctrlVLANAdd, le16(7)}, {ctrlVLANAdd, le16(8)}, {ctrlVLANDel, le16(7)}}, "all own vlan8"},
		{"all multicast", 0, []command{quiet, on(ctrlAllMulticast)}, "all multi own"},
		{"all unicast", 0, []command{quiet, on(ctrlAllUnicast)}, "all other own"},
		{"no broadcast", 0, []command{quiet, on(ctrlNoBroadcast)}, "own"},
		{"no unicast", 0, []command{quiet, on(ctrlNoUnicast)}, "all"},
		{"no multicast", 0, []command{quiet, on(ctrlAllMulticast), on(ctrlNoMulticast)}, "all own"},
		{"unicast table", 0, []command{quiet, tables(other, "")}, "all other own"},
		{"multicast table", 0, []command{quiet, tables("", multi)}, "all multi own"},
		{"tables emptied", 0, []command{quiet, tables(other, multi), tables("", "")}, "all own"},
		{"large unicast table", 0, []command{quiet, tables(strings.Repeat("\x52\x54\x00\x11\x11\x11", 65), "")}, "all other own"},
		{"large multicast table", 0, []command{quiet, tables("", strings.Repeat("\x01\x54\x00\x11\x11\x11", 65))}, "all multi own"},
		{"full table", 0, []command{quiet, tables(strings.Repeat("\x52\x54\x00\x11\x11\x11", 64), "")}, "all own"},
		{"another address", 0, []command{quiet, {ctrlMACAddrSet, []byte(other)}}, "all other"},
		{"promiscuous again", 0, []command{quiet, on(ctrlPromiscuous)}, "all multi other own vlan7 vlan8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			host := newFakeHost(t, 1)
			m := start(t, Options{Backend: host}, form{}, (allControl|FeatureMrgRxbuf)&^tt.without)
			for _, c := range tt.commands {
				if got := m.control(c.command, c.data...); got != ackOK {
					t.Fatalf("command %#x: answer %d", c.command, got)
				}
			}
			q, posted := m.rx(0), map[uint16][]queuetest.Buffer{}
			for range len(frames) + 1 {
				post(q, posted, 1526)
			}
			q.Kick()
			names := []string{"own", "other", "multi", "all", "vlan7", "vlan8"}
			for i, name := range names {
				b := append(make([]byte, 12), frame(toAll, 60, byte(i))...)
				copy(b[12:], frames[name])
				b[12+59] = byte(i)
				host.queues[0].put(b)
			}
			await.That(t, "all frames taken", func() bool { return host.queues[0].waiting() == 0 })
			m.dev.Pause() // all have been dealt with
			var passed []string
			for {
				u, ok := q.Used()
				if !ok {
					break
				}
				passed = append(passed, names[q.Bytes(posted[u.ID][0])[12+59]])
			}
			slices.Sort(passed)
			if got := strings.Join(passed, " "); got != tt.pass {
				t.Errorf("passed: %s, want: %s", got, tt.pass)
			}
			if n := m.dev.Stats().RxFiltered; int(n) != len(names)-len(passed) {
				t.Errorf("%d filtered", n)
			}
		})
	}
}

// TestOffloadsSet has the host end told of what the driver takes.
func TestOffloadsSet(t *testing.T) {
	host := newFakeHost(t, 1)
	all := allGuestOffloads
	m := start(t, Options{Backend: host}, form{}, all|FeatureCtrlVQ|FeatureCtrlGuestOffloads)
	told := func() hostnet.Offload { _, _, o := host.state(); return o }
	if got := told(); got != allOffloads {
		t.Errorf("at first %v", got)
	}
	m.control(ctrlGuestOffloads, le64(uint64(FeatureGuestCSUM|FeatureGuestTSO6|FeatureGuestECN))...)
	if got := told(); got != hostnet.Csum|hostnet.TSO6|hostnet.TSOECN {
		t.Errorf("then %v", got)
	}
	m.dev.Reset()
	if got := told(); got != 0 {
		t.Errorf("after a reset %v", got)
	}
	for want, offloads := range map[virtio.Features]hostnet.Offload{
		FeatureGuestTSO4:                    0,
		FeatureGuestCSUM | FeatureGuestECN:  hostnet.Csum,
		FeatureGuestCSUM | FeatureGuestUFO:  hostnet.Csum | hostnet.UFO,
		FeatureGuestCSUM | FeatureGuestUSO4: hostnet.Csum,
	} {
		m.activate(form{}, want)
		if got := told(); got != offloads {
			t.Errorf("%#x: %v, want %v", uint64(want), got, offloads)
		}
		m.dev.Reset()
	}
}

// TestPairsFail has a host that cannot enable more pairs.
func TestPairsFail(t *testing.T) {
	host := newFakeHost(t, 2)
	m := start(t, Options{Backend: host, QueuePairs: 2}, form{}, allControl)
	host.do(func() { host.pairsErr = errors.New("no") })
	if got := m.control(ctrlPairsSet, le16(2)...); got != ackErr {
		t.Errorf("answer %d", got)
	}
	host.do(func() { host.pairsErr = nil })
	if got := m.control(ctrlPairsSet, le16(2)...); got != ackOK {
		t.Errorf("answer %d", got)
	}
}
