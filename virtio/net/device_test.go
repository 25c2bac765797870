package net

import (
	"bytes"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/govmm/govmm/devices/clock"
	hostnet "github.com/govmm/govmm/net"
	"github.com/govmm/govmm/tests/await"
	"github.com/govmm/govmm/virtio"
	"github.com/govmm/govmm/virtio/pci/pcitest"
	"github.com/govmm/govmm/virtio/queue/queuetest"
)

func TestOptions(t *testing.T) {
	good := func() Options {
		return Options{Name: "net0", Backend: newFakeHost(t, 2), Clock: &clock.Fake{}, MAC: testMAC}
	}
	for name, tt := range map[string]struct {
		change func(*Options)
		want   string
	}{
		"back end":       {func(o *Options) { o.Backend = nil }, "virtio net net0: no back end"},
		"clock":          {func(o *Options) { o.Clock = nil }, "virtio net net0: no clock"},
		"address":        {func(o *Options) { o.MAC[0] = 1 }, "virtio net net0: the MAC address 015400010203 is a group address"},
		"small MTU":      {func(o *Options) { o.MTU = 67 }, "virtio net net0: an MTU of 67 bytes is not between 68 and 65535"},
		"large MTU":      {func(o *Options) { o.MTU = 65536 }, "virtio net net0: an MTU of 65536 bytes is not between 68 and 65535"},
		"speed":          {func(o *Options) { o.Speed = 1 << 31 }, "virtio net net0: a speed of 2147483648 Mbit/s is greater than 2147483647"},
		"pairs":          {func(o *Options) { o.QueuePairs = 3 }, "virtio net net0: 3 queue pairs are not between 1 and the 2 of the back end"},
		"control queue":  {func(o *Options) { o.Withhold = FeatureCtrlVQ }, "virtio net net0: the features 0x20000 cannot be withheld"},
		"negative pairs": {func(o *Options) { o.QueuePairs = -1 }, "virtio net net0: -1 queue pairs are not between 1 and the 2 of the back end"},
	} {
		t.Run(name, func(t *testing.T) {
			o := good()
			tt.change(&o)
			if _, err := New(o); err == nil || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
	if _, err := New(good()); err != nil {
		t.Error(err)
	}
}

func TestFeatures(t *testing.T) {
	a, _ := newPair(t, 2)
	const offloads = allHost | allGuestOffloads | FeatureCtrlGuestOffloads
	for name, tt := range map[string]struct {
		o          Options
		have, lack virtio.Features
	}{
		"pair":  {Options{Backend: a}, alwaysOffered, offloads | FeatureMTU | FeatureMQ | FeatureSpeedDuplex | virtio.FeaturePackedRing},
		"tap":   {Options{Backend: newFakeHost(t, 1)}, alwaysOffered | offloads, FeatureMQ},
		"extra": {Options{Backend: a, QueuePairs: 2, MTU: 9000, Speed: 1000, Packed: true}, FeatureMTU | FeatureMQ | FeatureSpeedDuplex | virtio.FeaturePackedRing, offloads},
	} {
		tt.o.Clock, tt.o.MAC = &clock.Fake{}, testMAC
		d, err := New(tt.o)
		must(t, err)
		if f := d.Features(); !f.Has(tt.have) || f&tt.lack != 0 {
			t.Errorf("%s: features %#x", name, uint64(f))
		}
		d.Close()
	}
}

// TestWithhold offers less than there could be.
func TestWithhold(t *testing.T) {
	const all = alwaysOffered | allHostOffloads | allGuestOffloads | FeatureCtrlGuestOffloads
	const guestTSO = FeatureGuestTSO4 | FeatureGuestTSO6
	for _, tt := range []struct {
		name           string
		withhold, less virtio.Features
	}{
		{"nothing", 0, 0},
		{"mergeable buffers", FeatureMrgRxbuf, FeatureMrgRxbuf},
		{"what nothing depends on", FeatureHostUFO | FeatureGuestUFO, FeatureHostUFO | FeatureGuestUFO},
		{"one of two", FeatureHostTSO4 | FeatureGuestTSO6, FeatureHostTSO4 | FeatureGuestTSO6},
		{"both of two", guestTSO, guestTSO | FeatureGuestECN},
		{"the host's checksums", FeatureCSUM, allHostOffloads},
		{"the guest's checksums", FeatureGuestCSUM, allGuestOffloads | FeatureCtrlGuestOffloads},
		{"half of a pair", FeatureGuestUSO6, FeatureGuestUSO4 | FeatureGuestUSO6},
		{"everything", Withholdable, Withholdable | FeatureCtrlGuestOffloads},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, err := New(Options{Backend: newFakeHost(t, 1), MAC: testMAC, Clock: &clock.Fake{}, Withhold: tt.withhold})
			must(t, err)
			defer d.Close()
			if got, want := d.Features(), all&^tt.less; got != want {
				t.Errorf("features %#x, want %#x", uint64(got), uint64(want))
			}
		})
	}
}

func TestConfig(t *testing.T) {
	d, err := New(Options{Backend: newFakeHost(t, 3), QueuePairs: 3, MTU: 9000, Speed: 10000, MAC: testMAC, Clock: &clock.Fake{}})
	must(t, err)
	defer d.Close()
	read := func(offset uint64, n int) []byte {
		b := bytes.Repeat([]byte{0xEE}, n)
		d.ReadConfig(offset, b)
		return b
	}
	want := slices.Concat(testMAC[:], le16(statusLinkUp), le16(3), le16(9000), le32(10000), []byte{duplexFull}, make([]byte, 11))
	if got := read(0, 28); !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
	for offset := range uint64(30) {
		for n := range 5 {
			all := append(slices.Clone(want), make([]byte, 10)...)
			if got := read(offset, n); !bytes.Equal(got, all[offset:][:n]) {
				t.Errorf("%d bytes at %d: %x", n, offset, got)
			}
		}
	}
	read(1<<63, 4)
	d.WriteConfig(4, []byte{0xAA, 0xBB, 0xCC}) // a legacy driver, before it starts
	d.WriteConfig(1<<63, []byte{1})
	if got := read(0, 8); !bytes.Equal(got, []byte("\x52\x54\x00\x01\xAA\xBB\x01\x00")) {
		t.Errorf("after a write: %x", got)
	}
	d2, err := New(Options{Backend: newFakeHost(t, 1), MAC: testMAC, Clock: &clock.Fake{}})
	must(t, err)
	defer d2.Close()
	b := make([]byte, 17)
	d2.ReadConfig(0, b)
	if !bytes.Equal(b[12:], []byte{0xFF, 0xFF, 0xFF, 0xFF, 0xFF}) {
		t.Errorf("unknown speed and duplex: %x", b[12:])
	}
}

// TestConfigWrite has only a legacy driver change the address that way.
func TestConfigWrite(t *testing.T) {
	for _, tt := range []struct {
		legacy bool
		want   virtio.Features
		writes bool
	}{{true, 0, true}, {true, FeatureCtrlMACAddr, false}, {false, 0, false}} {
		m := start(t, Options{Backend: newFakeHost(t, 1)}, form{legacy: tt.legacy}, tt.want)
		m.dev.WriteConfig(5, []byte{0x77})
		if got := m.dev.mac.Load().bytes()[5] == 0x77; got != tt.writes {
			t.Errorf("%+v: written %v", tt, got)
		}
		if got := m.dev.active.Load().filter.Load().station; got != m.dev.mac.Load() {
			t.Errorf("the filter has %x", got)
		}
		m.dev.Reset()
		if got := m.dev.mac.Load().bytes(); got != testMAC {
			t.Errorf("after a reset: %x", got)
		}
	}
}

// TestHeaderSize has the host end told of the header's length.
func TestHeaderSize(t *testing.T) {
	for _, tt := range []struct {
		legacy bool
		want   virtio.Features
		size   int
	}{{true, 0, 10}, {true, FeatureMrgRxbuf, 12}, {false, 0, 12}, {false, FeatureMrgRxbuf, 12}} {
		host := newFakeHost(t, 1)
		start(t, Options{Backend: host}, form{legacy: tt.legacy}, tt.want)
		if got, _, _ := host.state(); got != tt.size {
			t.Errorf("%+v: %d", tt, got)
		}
	}
}

// TestPairs has several pairs, of which the driver uses more and fewer.
func TestPairs(t *testing.T) {
	a, peer := newPair(t, 3)
	must(t, peer.SetQueues(3))
	m := start(t, Options{Backend: a, QueuePairs: 3}, form{}, allControl|FeatureMrgRxbuf)
	posted := make([]map[uint16][]queuetest.Buffer, 3)
	for i := range posted {
		posted[i] = map[uint16][]queuetest.Buffer{}
		for range 4 {
			post(m.rx(i), posted[i], 1526)
		}
		m.rx(i).Kick()
	}
	cross := func(i int) {
		t.Helper()
		sent := frame(toAll, 60, byte(i+1))
		send(t, peer.Queue(i), sent)
		if _, got := m.got(m.rx(i), posted[i]); !bytes.Equal(got, sent) {
			t.Errorf("pair %d received %x", i, got)
		}
		m.tx(i).Do(m.tx(i).Readable(append(make([]byte, 12), sent...)))
		if got := receive(t, peer.Queue(i)); !bytes.Equal(got, sent) {
			t.Errorf("pair %d sent %x", i, got)
		}
	}
	cross(0)
	m.control(ctrlPairsSet, le16(3)...)
	for i := range 3 {
		cross(i)
	}
	m.control(ctrlPairsSet, le16(1)...)
	cross(0)
	send(t, peer.Queue(2), frame(toAll, 60, 9))
	m.tx(2).Do(m.tx(2).Readable(append(make([]byte, 12), frame(toAll, 60, 9)...)))
	if s := m.dev.Stats(); s.TxDrop != 1 {
		t.Errorf("stats %+v", s)
	}
	if _, ok := m.rx(2).Used(); ok {
		t.Error("a disabled pair has received")
	}
	m.control(ctrlPairsSet, le16(3)...)
	if _, got := m.got(m.rx(2), posted[2]); !bytes.Equal(got, frame(toAll, 60, 9)) {
		t.Errorf("the frame that was waiting: %x", got)
	}
	m.dev.Reset()
	m.activate(form{absent: []int{4}}, allControl)
	if got := m.control(ctrlPairsSet, le16(3)...); got != ackErr {
		t.Errorf("a pair without queues was enabled: %d", got)
	}
	if got := m.control(ctrlPairsSet, le16(2)...); got != ackOK {
		t.Errorf("answer %d", got)
	}
	m.dev.Reset()
	m.activate(form{}, allControl&^FeatureMQ) // the control queue is another one
	if got := m.control(ctrlPromiscuous, 1); got != ackOK {
		t.Errorf("answer %d", got)
	}
}

// TestLink takes the link down on either side.
func TestLink(t *testing.T) {
	host := newFakeHost(t, 1)
	m := start(t, Options{Backend: host}, form{}, FeatureStatus|FeatureMrgRxbuf)
	q, posted := m.rx(0), map[uint16][]queuetest.Buffer{}
	b := append(make([]byte, 12), frame(toAll, 60, 3)...)
	flaps := []struct {
		name string
		set  func(up bool)
	}{
		{"guest's side", func(up bool) { must(t, m.dev.SetLink(up)) }},
		{"host's side", host.hostLink},
	}
	for i, flap := range flaps {
		post(q, posted, 1526)
		q.Kick()
		flap.set(false)
		if m.dev.status() != 0 || m.changes() != 2*i+1 {
			t.Errorf("%s: status %d, %d interrupts", flap.name, m.dev.status(), m.changes())
		}
		host.queues[0].put(b)
		m.tx(0).Do(m.tx(0).Readable(b))
		if s := m.dev.Stats(); s.TxDrop != uint64(i+1) || len(host.queues[0].taken()) != 0 {
			t.Errorf("%s: stats %+v", flap.name, s)
		}
		m.dev.Pause() // the receive queue has come to rest
		m.dev.Resume()
		if _, ok := q.Used(); ok || host.queues[0].waiting() != 1 {
			t.Errorf("%s: received while down", flap.name)
		}
		flap.set(true)
		if m.dev.status() != statusLinkUp || m.changes() != 2*i+2 {
			t.Errorf("%s: status %d, %d interrupts", flap.name, m.dev.status(), m.changes())
		}
		if _, got := m.got(q, posted); len(got) != 60 {
			t.Errorf("%s: got %x", flap.name, got)
		}
	}
	must(t, m.dev.SetLink(true)) // no change
	if !slices.Equal(host.linkSet, []bool{false, true}) || m.changes() != 4 {
		t.Errorf("the host's side was set %v, %d interrupts", host.linkSet, m.changes())
	}
}

func TestAnnounce(t *testing.T) {
	m := start(t, Options{Backend: newFakeHost(t, 1)}, form{}, allControl)
	if !m.dev.Announce() || m.dev.status() != statusLinkUp|statusAnnounce || m.changes() != 1 {
		t.Errorf("status %d, %d interrupts", m.dev.status(), m.changes())
	}
	if got := m.control(ctrlAnnounceAck, 1); got != ackErr {
		t.Errorf("with data: %d", got)
	}
	if got := m.control(ctrlAnnounceAck); got != ackOK || m.dev.status() != statusLinkUp {
		t.Errorf("answer %d, status %d", got, m.dev.status())
	}
	m.dev.Announce()
	m.dev.Reset()
	if m.dev.Announce() || m.dev.status() != statusLinkUp {
		t.Error("announces without a driver")
	}
	m.activate(form{}, FeatureStatus)
	if m.dev.Announce() {
		t.Error("asks a driver that cannot")
	}
}

// TestLost has the host end vanish. The guest sees the link go.
func TestLost(t *testing.T) {
	a, peer := newPair(t, 1)
	m := start(t, Options{Backend: a}, form{}, FeatureStatus|FeatureMrgRxbuf)
	post(m.rx(0), map[uint16][]queuetest.Buffer{}, 1526)
	m.rx(0).Kick()
	must(t, peer.Close())
	await.That(t, "the link down", func() bool { return m.dev.status() == 0 && m.changes() > 0 })
	m.tx(0).Do(m.tx(0).Readable(append(make([]byte, 12), frame(toAll, 60, 3)...)))
	m.dev.Reset()
	m.activate(form{}, FeatureStatus) // as when the guest reboots
	m.tx(0).Do(m.tx(0).Readable(append(make([]byte, 12), frame(toAll, 60, 3)...)))
	if s := m.dev.Stats(); s.TxDrop != 2 || m.why() != nil {
		t.Errorf("stats %+v, broken: %v", s, m.why())
	}
}

// TestTraffic resets, pauses, and changes the link and the pairs while frames
// go both ways.
func TestTraffic(t *testing.T) {
	a, peer := newPair(t, 2)
	must(t, peer.SetQueues(2))
	m := start(t, Options{Backend: a, QueuePairs: 2, Packed: true}, form{}, allControl|FeatureMrgRxbuf)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 2 {
		wg.Go(func() {
			f := [][]byte{make([]byte, 12), frame(toAll, 3000, 1)}
			for {
				select {
				case <-stop:
					return
				default:
				}
				if peer.Queue(i).Send(f) == hostnet.ErrAgain {
					_ = wait(peer.Queue(i), hostnet.ToSend)
				}
			}
		})
		wg.Go(func() {
			buf := [][]byte{make([]byte, 70000)}
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, _, err := peer.Queue(i).Receive(buf); err == hostnet.ErrAgain {
					_ = wait(peer.Queue(i), hostnet.ToReceive)
				}
			}
		})
	}
	f := append(make([]byte, 12), frame(toAll, 1514, 2)...)
	for round := range 24 {
		form := forms[[]string{"split", "packed, events", "split, events", "packed"}[round%4]]
		m.dev.Reset()
		m.activate(form, allControl|FeatureMrgRxbuf)
		posted := map[uint16][]queuetest.Buffer{}
		for range 20 {
			post(m.rx(0), posted, 1526)
			m.tx(0).Add(m.tx(0).Readable(f))
			m.tx(1).Add(m.tx(1).Readable(f))
		}
		m.rx(0).Kick()
		m.tx(0).Kick()
		m.control(ctrlPairsSet, le16(uint16(1+round%2))...)
		m.tx(1).Kick()
		if round%3 == 0 {
			must(t, m.dev.SetLink(false))
			must(t, m.dev.SetLink(true))
		}
		if _, got := m.got(m.rx(0), posted); len(got) != 3000 {
			t.Errorf("round %d: got %d bytes", round, len(got))
		}
		if round%2 == 0 {
			m.dev.Pause()
			for _, q := range m.dev.active.Load().queues {
				if _, err := q.State(); err != nil {
					t.Error(err)
				}
			}
			m.dev.Pause()
			if round%4 == 0 {
				m.dev.Resume()
				m.dev.Resume()
			} else {
				m.dev.Reset()
				m.dev.Resume()
			}
		}
		if m.why() != nil {
			t.Fatalf("round %d: %v", round, m.why())
		}
	}
	close(stop)
	peer.Queue(0).Wake()
	peer.Queue(1).Wake()
	m.dev.Reset()
	must(t, a.Close()) // ends a sender that waits
	wg.Wait()
}

// TestPausedFirst activates a device that is paused.
func TestPausedFirst(t *testing.T) {
	host := newFakeHost(t, 1)
	m := start(t, Options{Backend: host}, form{}, 0)
	m.dev.Reset()
	m.dev.Pause()
	m.activate(form{}, 0)
	m.tx(0).Add(m.tx(0).Readable(append(make([]byte, 12), frame(toAll, 60, 3)...)))
	m.tx(0).Kick()
	if n := len(host.queues[0].taken()); n != 0 {
		t.Errorf("%d frames sent", n)
	}
	m.dev.Resume()
	m.tx(0).Wait()
	if n := len(host.queues[0].taken()); n != 1 {
		t.Errorf("%d frames sent after Resume", n)
	}
}

// TestOverPCI drives the device through its registers.
func TestOverPCI(t *testing.T) {
	for _, legacy := range []bool{false, true} {
		a, peer := newPair(t, 1)
		d, err := New(Options{Name: "net0", Backend: a, MAC: testMAC, Clock: &clock.Fake{}})
		must(t, err)
		t.Cleanup(d.Close)
		m := pcitest.New(t, pcitest.Options{Device: d, Legacy: legacy})
		m.Start(alwaysOffered | virtio.FeatureEventIndex)
		if got := m.DeviceConfig(0, 8); !bytes.Equal(got, append(slices.Clone(testMAC[:]), 1, 0)) {
			t.Errorf("configuration %x", got)
		}
		sent := frame(toAll, 60, 4)
		m.Queues[1].Do(m.Queues[1].Readable(append(make([]byte, 12), sent...)))
		if got := receive(t, peer.Queue(0)); !bytes.Equal(got, sent) {
			t.Errorf("sent %x", got)
		}
		buf := m.Queues[0].Writable(1526)
		m.Queues[0].Add(buf)
		m.Queues[0].Kick()
		send(t, peer.Queue(0), sent)
		if u := m.Queues[0].Wait(); u.Len != 72 || !bytes.Equal(m.Queues[0].Bytes(buf)[12:72], sent) {
			t.Errorf("received %d bytes", u.Len)
		}
		must(t, d.SetLink(false))
		<-m.ConfigChanged
		if got := m.DeviceConfig(6, 2); !bytes.Equal(got, []byte{0, 0}) {
			t.Errorf("status %x", got)
		}
		m.Reset()
	}
}

// TestVhostOptions has what vhost needs.
func TestVhostOptions(t *testing.T) {
	_, err := New(Options{Backend: newFakeHost(t, 1), Clock: &clock.Fake{}, Vhost: unopened(), Memory: newMemory(t, 1<<20)})
	if err == nil || !strings.Contains(err.Error(), "file descriptor") {
		t.Errorf("got %v", err)
	}
	_, err = New(Options{Backend: newFakeHost(t, 1), Clock: &clock.Fake{}, Vhost: unopened()})
	if err == nil || !strings.Contains(err.Error(), "memory") {
		t.Errorf("got %v", err)
	}
}
