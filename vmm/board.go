package vmm

import (
	"context"
	"errors"
	"log/slog"

	"github.com/govmm/govmm/devices/bus"
	"github.com/govmm/govmm/devices/clock"
	"github.com/govmm/govmm/devices/floppy"
	"github.com/govmm/govmm/devices/ide"
	"github.com/govmm/govmm/devices/irq"
	"github.com/govmm/govmm/devices/pci"
	"github.com/govmm/govmm/devices/platform"
	"github.com/govmm/govmm/devices/timer"
	"github.com/govmm/govmm/devices/vga"
	"github.com/govmm/govmm/virtio/balloon"
	"github.com/govmm/govmm/virtio/console"
)

// The places of the PIIX on the PCI bus.
const (
	hostBridgeSlot = 0
	piixSlot       = 1
	piix3Function  = 0
	piix4Function  = 3
)

// board is the machine's hardware: every device, built in one list.
type board struct {
	resetters []bus.Resetter
	pm        *pci.PIIX4PM // nil without
	chardevs  []*charDevice
	disks     []*disk
	nics      []*nic
	balloon   *balloon.Device // nil without
	ide       *ide.Controller
	floppy    *floppy.FDC // nil without
	video     *vga.VGA    // nil without
	keyboard  *platform.Keyboard
	rtc       *timer.RTC // nil without
	pausers   []pauser

	userChannels  userChannels
	virtioSerials []*console.Device

	pci      *pci.Bus
	messages *messages
	ioEvents *ioEvents
}

// pauser is a device that works while no vCPU runs, unless it is paused.
type pauser struct{ pause, resume func() }

// wiring is the interrupt inputs that the devices of a board share.
type wiring struct {
	isa [isaIRQs]*irq.Shared
}

func (m *Machine) newWiring() *wiring {
	w := &wiring{}
	for i := range w.isa {
		w.isa[i] = irq.NewShared(newLine(m.vm, uint32(i), m.log))
	}
	return w
}

// line is a device's own wire to an ISA interrupt.
func (w *wiring) line(n int) irq.Line { return w.isa[n].Source() }

// pciLines are the PCI router's wires to the ISA interrupts.
func (w *wiring) pciLines() (lines [isaIRQs]irq.Line) {
	for i := range lines {
		lines[i] = w.line(i)
	}
	return lines
}

// buildBoard makes the devices of the domain. It reads like the XML: first what
// every PC has, then what the file lists.
func (m *Machine) buildBoard(ctx context.Context) error {
	c, err := clock.NewHost()
	if err != nil {
		return err
	}
	m.clock = c
	m.closer.add(c.Close)
	m.board = &board{}
	wires := m.newWiring()
	for _, build := range []func(context.Context, *wiring) error{
		m.addPCI,
		m.addIDE,
		m.addDMA,
		m.addTimers, // whose CMOS RAM tells of the drives
		m.addPlatform,
		m.addSerials,
		m.addParallels,
	} {
		if err := build(ctx, wires); err != nil {
			return err
		}
	}
	for _, build := range []func(context.Context) error{
		m.addVideo,
		m.addDisks,
		m.addGuestForwards,
		m.addInterfaces,
		m.addVirtioSerial,
		m.addBalloon,
		m.addEntropy,
		m.addWatchdog,
		m.addFirmwareConfig,
	} {
		if err := build(ctx); err != nil {
			return err
		}
	}
	m.board.reset()
	return nil
}

// addPCI adds the PCI bus with the bridges of the i440FX, PIIX3 and PIIX4.
func (m *Machine) addPCI(_ context.Context, w *wiring) error {
	direct := m.boot.firmware == nil // then the registers are as firmware would leave them
	router := pci.NewRouter(w.pciLines())
	b := pci.NewBus(pci.Options{Ports: m.ports, Memory: m.mmio, Router: router, Firmware: direct, Log: m.named("pci")})
	var bridge pci.I440FXOptions
	if !direct {
		bridge.PAMChanged = m.boot.shadow.set
	}
	host := pci.NewI440FX(bridge)
	isa := pci.NewPIIX3(pci.PIIX3Options{Router: router, Reset: m.resetBy, Firmware: direct, Log: m.named("piix3")})
	if err := errors.Join(
		b.Add(host, hostBridgeSlot, 0),
		b.Add(isa, piixSlot, piix3Function),
	); err != nil {
		return err
	}
	mechanism := pci.NewMechanism(b, isa.ResetControl())
	m.board.pci = b
	m.board.messages, m.board.ioEvents = newMessages(m.vm, m.named("msi")), newIOEvents(m.vm)
	m.board.resets(mechanism, b)
	if err := m.addPorts(ports{pci.ConfigPort, pci.ConfigPorts, "pci configuration", mechanism}); err != nil {
		return err
	}
	// SeaBIOS makes ACPI tables of its own for a machine that has power
	// management but none.
	if !direct && !m.hasACPI() {
		return nil
	}
	return m.addPowerManagement(w, direct)
}

func (m *Machine) addPowerManagement(w *wiring, direct bool) error {
	pm := pci.NewPIIX4PM(pci.PIIX4PMOptions{
		Clock:    m.clock,
		SCI:      w.line(irqSCI),
		PowerOff: func() { m.request(Exit{Cause: CausePowerOff, Source: "ACPI S5"}) },
		Firmware: direct,
		Log:      m.named("piix4pm"),
	})
	m.board.pm = pm
	return errors.Join(
		m.board.pci.Add(pm, piixSlot, piix4Function),
		m.addPorts(ports{pci.APMPort, pci.APMPorts, "apm", pm.APM()}),
	)
}

// addPlatform adds the small ISA devices.
func (m *Machine) addPlatform(_ context.Context, w *wiring) error {
	keyboard := platform.NewI8042(platform.I8042Options{
		IRQ1: w.line(irqKeyboard), IRQ12: w.line(irqMouse), Reset: m.resetBy, Log: m.named("i8042"),
	})
	m.board.keyboard = keyboard.Keyboard()
	console := platform.NewDebugConsole(platform.DebugConsoleOptions{Log: m.log})
	port92 := platform.NewPort92(platform.Port92Options{Reset: m.resetBy, Log: m.named("port 92")})
	post := &platform.POST{}
	m.board.resets(keyboard, port92, post, console)
	list := []ports{
		{platform.I8042DataPort, 1, "i8042 data", keyboard.DataPort()},
		{platform.I8042CommandPort, 1, "i8042 command", keyboard.CommandPort()},
		{platform.Port92Port, 1, "system control port A", port92},
		{platform.POSTPort, 1, "POST code", post},
		{platform.PvpanicPort, 1, "pvpanic", platform.NewPvpanic(m.panicked)},
		{platform.DebugConsolePort, 1, "debug console", console},
	}
	if m.options.DebugExit {
		list = append(list, ports{platform.DebugExitPort, platform.DebugExitPorts, "debug exit",
			platform.NewDebugExit(func(v uint32) {
				m.request(Exit{Cause: CauseDebugExit, Source: "debug exit port", Code: v})
			})})
	}
	return m.addPorts(list...)
}

// resetBy is how a device asks for a reset.
func (m *Machine) resetBy(source string) {
	m.request(Exit{Cause: CauseReset, Source: source})
}

// panicked is what the guest tells the pvpanic device. A guest whose crash
// kernel takes over is not to be disturbed.
func (m *Machine) panicked(e platform.PanicEvent) {
	if e&platform.Panicked != 0 {
		m.request(Exit{Cause: CausePanic, Source: "pvpanic"})
		return
	}
	m.log.Info("the guest's kernel crashed and its crash kernel takes over")
	m.events.publish(Event{Kind: EventCrashLoaded})
}

// ports is a range of ports with the device that answers it.
type ports struct {
	base, size uint64
	name       string
	handler    bus.Handler
}

func (m *Machine) addPorts(list ...ports) error {
	for _, p := range list {
		if err := m.ports.Add(p.base, p.size, p.name, p.handler); err != nil {
			return err
		}
	}
	return nil
}

// named is the machine's log for one device.
func (m *Machine) named(device string) *slog.Logger { return m.log.With("device", device) }

func (b *board) resets(r ...bus.Resetter) { b.resetters = append(b.resetters, r...) }

// reset returns every device to its power-on state.
func (b *board) reset() {
	for _, r := range b.resetters {
		r.Reset()
	}
}

// pause stops the devices that work while no vCPU runs.
func (b *board) pause() {
	for _, p := range b.pausers {
		p.pause()
	}
}

// resume lets them go on.
func (b *board) resume() {
	for _, p := range b.pausers {
		p.resume()
	}
}

// pressPowerButton reports whether the guest listens to it.
func (b *board) pressPowerButton() (heard bool) { return b.pm != nil && b.pm.PressPowerButton() }
