package vmm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/govmm/govmm/boot"
	"github.com/govmm/govmm/boot/acpi"
	"github.com/govmm/govmm/boot/firmware"
	"github.com/govmm/govmm/devices/bus"
	"github.com/govmm/govmm/devices/fwcfg"
	"github.com/govmm/govmm/devices/pci"
	"github.com/govmm/govmm/devices/vga"
	"github.com/govmm/govmm/domcfg"
	"github.com/govmm/govmm/kvm"
	"github.com/govmm/govmm/memory"
)

// hostFiles is the host's file system, in which firmware is looked for.
func hostFiles() fs.FS { return os.DirFS("/") }

// openFirmware finds and reads the firmware.
func (m *Machine) openFirmware() error {
	path := m.domain.OS.Loader.Path
	if path == "" {
		var err error
		if path, err = firmware.Find(hostFiles(), firmware.BIOS); err != nil {
			return fmt.Errorf("os: there is no kernel, so the guest boots through firmware: %w", err)
		}
	}
	path = filepath.Clean("/" + path)
	image, err := firmware.Load(hostFiles(), path)
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		return fmt.Errorf("os/loader: %s: %w", path, e.Err) // an fs.FS has no slash in front
	}
	if err != nil {
		return fmt.Errorf("os/loader: %w", err)
	}
	m.boot.firmware = image
	return nil
}

// mapFirmware puts the firmware below 4 GiB. Its end below 1 MiB follows the host
// bridge.
func (m *Machine) mapFirmware() error {
	image := m.boot.firmware
	if image == nil {
		return nil
	}
	rom, err := m.ram.Add("firmware", memory.ROM, image.Base(), uint64(len(image.Data)))
	if err != nil {
		return fmt.Errorf("os/loader: %w", err)
	}
	copy(rom.Host, image.Data)
	if _, err := m.slots.add(rom.GPA, rom.Host, kvm.MemReadOnly); err != nil {
		return hostError(err)
	}
	ram, err := m.ram.Slice(pci.ShadowBase, pci.ShadowEnd-pci.ShadowBase)
	if err != nil {
		return fmt.Errorf("memory: %d bytes are too few for firmware: %w", m.ram.Size(), err)
	}
	shadowed := min(len(rom.Host), firmware.ShadowMax)
	m.boot.shadow = &shadow{
		slots: m.slots, mmio: m.mmio, ram: ram, rom: rom.Host[len(rom.Host)-shadowed:],
		fail: m.slotFailed, log: bus.NewGuestLog(m.log, "shadow memory"),
	}
	return nil
}

// slotFailed ends a machine whose memory the host cannot arrange as the guest
// asked for.
func (m *Machine) slotFailed(err error) {
	m.request(Exit{Cause: CauseHost, Source: "memory", Detail: err.Error()})
}

// addFirmwareConfig adds the device by which firmware learns about the machine.
// It comes last, when all others are known.
func (m *Machine) addFirmwareConfig(context.Context) error {
	if m.boot.firmware == nil {
		return nil
	}
	cfg, err := m.firmwareConfig()
	if err != nil {
		return err
	}
	items, err := firmware.Items(cfg)
	if err != nil {
		return m.bootError(err)
	}
	list := make([]fwcfg.Item, len(items))
	for i, item := range items {
		list[i] = fwcfg.Item{Key: item.Key, Name: item.Name, Content: item.Content}
	}
	device, err := fwcfg.New(fwcfg.Options{Items: list, Memory: m.ram, Log: m.named("fw_cfg")})
	if err != nil {
		return err
	}
	m.board.resets(device)
	return m.addPorts(ports{fwcfg.Port, fwcfg.Ports, "fw_cfg", device})
}

// firmwareConfig describes the machine to its firmware.
func (m *Machine) firmwareConfig() (cfg firmware.Config, err error) {
	d := m.domain
	cfg = firmware.Config{
		CPUs:       len(m.cpus),
		UUID:       d.UUID,
		BootOrder:  m.bootOrder(),
		BootStrict: false,
		BootMenu:   d.OS.BootMenu.Enable == domcfg.Yes,
		// What KVM has for its own use.
		Reserved: []boot.E820Entry{{Base: kvmPages, Size: kvmPagesSize, Type: boot.E820Reserved}},
	}
	cfg.LowRAM, cfg.HighRAM = memory.Split(ramSize(d))
	if t := d.OS.BootMenu.Timeout; t != nil {
		cfg.BootMenuWait = time.Duration(*t) * time.Millisecond
	}
	if t := d.OS.BIOS.RebootTimeout; t != nil {
		cfg.BootFailWait = time.Duration(*t) * time.Millisecond
	}
	if port, ok := m.firmwareConsole(); ok {
		cfg.SerialConsole = port.base
	}
	if m.hasACPI() {
		if cfg.ACPI, err = acpi.Build(m.acpiConfig(cfg.LowRAM)); err != nil {
			return cfg, err
		}
	}
	if cfg.SMBIOS, err = m.smbiosTables(); err != nil {
		return cfg, err
	}
	if m.boot.kernel != nil {
		cfg.Kernel = &firmware.Kernel{Image: m.boot.kernel, Initrd: m.boot.initrd, Cmdline: m.boot.cmdline}
	}
	return cfg, nil
}

// firmwareConsole is the serial port that takes the place of screen and keyboard
// for the firmware: when the domain says so, and unless it says no, when there
// is no screen.
func (m *Machine) firmwareConsole() (port com, ok bool) {
	use := m.domain.OS.BIOS.UseSerial
	if use == domcfg.No || use == "" && len(m.domain.Devices.Videos) > 0 || len(m.domain.Devices.Serials) == 0 {
		return com{}, false
	}
	return comPort(m.domain.Devices.Serials[0], 0)
}

// bootOrder is the paths of the devices that the firmware is to try.
func (m *Machine) bootOrder() (paths []string) {
	for _, b := range m.domain.BootOrder() {
		switch b.Kind {
		case domcfg.BootDisk:
			paths = append(paths, diskPath(m.domain.Devices.Disks[b.Index]))
		case domcfg.BootInterface:
			paths = append(paths, firmware.NIC(pciFunction(m.domain.Devices.Interfaces[b.Index].Address)))
		}
	}
	return paths
}

func diskPath(d *domcfg.Disk) string {
	switch d.Bus() {
	case domcfg.BusIDE:
		at := d.Address.Drive
		return firmware.IDEDrive(firmware.PCIFunction{Slot: piixSlot, Function: piixIDEFunction}, uint8(at.Bus), uint8(at.Unit))
	case domcfg.BusFDC:
		return firmware.FloppyDrive(firmware.PCIFunction{Slot: piixSlot, Function: piix3Function}, uint8(d.Address.Drive.Unit))
	}
	return firmware.VirtioDisk(pciFunction(d.Address))
}

func pciFunction(a *domcfg.Address) firmware.PCIFunction {
	return firmware.PCIFunction{Slot: uint8(a.PCI.Slot), Function: uint8(a.PCI.Function)}
}

// The option ROMs of devices, where distributions have them.
var romDirectories = [...]string{"usr/share/seabios", "usr/share/qemu", "usr/lib/ipxe/qemu", "usr/share/ipxe", "usr/share/ipxe/qemu", "usr/share/vgabios"}

// errNoROM is an option ROM that the host does not have.
var errNoROM = errors.New("the host does not have it")

// findROM reads an option ROM by its usual names.
func findROM(names ...string) ([]byte, error) {
	host := hostFiles()
	for _, dir := range romDirectories {
		for _, name := range names {
			data, err := fs.ReadFile(host, dir+"/"+name)
			if !errors.Is(err, fs.ErrNotExist) {
				return data, err
			}
		}
	}
	return nil, fmt.Errorf("%s: %w", strings.Join(names, " or "), errNoROM)
}

// nicROM is the option ROM by which a network interface boots. Nothing but a
// network boot needs it.
func (m *Machine) nicROM(i *domcfg.Interface, index int) ([]byte, error) {
	file, shown := i.OptionROM()
	if !shown || m.boot.firmware == nil {
		return nil, nil
	}
	if file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("rom: %w", err)
		}
		return data, nil
	}
	model := strings.ToLower(i.Model)
	data, err := findROM("efi-"+model+".rom", "pxe-"+model+".rom")
	booted := slices.Contains(m.domain.BootOrder(), domcfg.BootDevice{Kind: domcfg.BootInterface, Index: index})
	if errors.Is(err, errNoROM) && !booted {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("rom: to boot from the network: %w (package ipxe-qemu)", err)
	}
	return forVirtioNet(data), nil
}

// addVideo adds the display adapter that the domain lists.
func (m *Machine) addVideo(context.Context) error {
	for i, v := range m.domain.Devices.Videos {
		if v.Model.Type == "none" {
			continue
		}
		if err := m.addVGA(v); err != nil {
			return fmt.Errorf("devices/video[%d]: %w", i+1, err)
		}
	}
	return nil
}

func (m *Machine) addVGA(v *domcfg.Video) error {
	rom, err := findROM("vgabios-stdvga.bin")
	if err != nil && m.boot.firmware != nil {
		return fmt.Errorf("its BIOS: %w (package seabios)", err)
	}
	const name = "video0"
	framebuffer := &window{slots: m.slots, log: bus.NewGuestLog(m.log, name)}
	adapter, err := vga.New(vga.Options{
		Name: name, VRAM: v.Model.VRAMBytes(), ROM: rom, Clock: m.clock, FramebufferMoved: framebuffer.move,
	})
	if err != nil {
		return err
	}
	framebuffer.host = adapter.VRAM()
	m.closer.add(adapter.Close)
	m.board.video = adapter
	at, err := pciAddress(v.Address)
	if err != nil {
		return err
	}
	return errors.Join(
		m.addPorts(
			ports{vga.Port, vga.Ports, name, adapter.Ports()},
			ports{vga.MonoPort, vga.MonoPorts, name, adapter.MonoPorts()},
			ports{vga.DISPIPort, vga.DISPIPorts, name, adapter.DISPIPorts()},
		),
		m.mmio.Add(vga.LegacyBase, vga.LegacySize, name, adapter.Window()),
		m.board.pci.Add(adapter, int(at.Slot), int(at.Function)),
	)
}
