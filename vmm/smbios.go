package vmm

import (
	"fmt"
	"os"

	"github.com/govmm/govmm/boot"
	"github.com/govmm/govmm/boot/smbios"
	"github.com/govmm/govmm/domcfg"
	"github.com/govmm/govmm/memory"
)

// smbiosTables are the tables by which the machine names itself.
func (m *Machine) smbiosTables() (*smbios.Tables, error) {
	cfg := smbios.Config{
		Version:    smbios.V2_8,
		System:     smbios.System{UUID: m.domain.UUID},
		Processors: smbios.Processors{Sockets: len(m.cpus)},
	}
	if m.domain.OS.Machine != "" {
		cfg.Machine.Version = m.domain.OS.Machine
	}
	cfg.LowRAM, cfg.HighRAM = memory.Split(ramSize(m.domain))
	cfg.Processors.Signature, cfg.Processors.Features = m.cpuid.signature()
	if m.boot.firmware == nil {
		cfg.BIOS = smbios.DefaultBIOS() // firmware adds its own
	}
	switch m.domain.OS.SMBIOSMode {
	case domcfg.SMBIOSHost:
		host, err := smbios.ReadHost(os.DirFS("/sys"))
		if err != nil {
			return nil, fmt.Errorf("os/smbios: mode=%q: %w", domcfg.SMBIOSHost, err)
		}
		for _, note := range host.Notes {
			m.log.Warn("of the host's SMBIOS tables: " + note)
		}
		uuid := cfg.System.UUID
		cfg.BIOS, cfg.System = &host.BIOS, host.System
		cfg.System.UUID = uuid
	case domcfg.SMBIOSSysinfo:
		if m.domain.SysInfo != nil {
			fromSysinfo(&cfg, m.domain.SysInfo)
		}
	}
	tables, err := smbios.Build(cfg)
	if err != nil {
		return nil, fmt.Errorf("sysinfo: %w", err)
	}
	return tables, nil
}

// fromSysinfo takes over what the domain says.
func fromSysinfo(cfg *smbios.Config, s *domcfg.SysInfo) {
	type field struct {
		name string
		to   *string
	}
	set := func(entries []*domcfg.SysInfoEntry, fields ...field) {
		for _, f := range fields {
			if v, ok := domcfg.Entry(entries, f.name); ok {
				*f.to = v
			}
		}
	}
	if len(s.BIOS) > 0 {
		b := &smbios.BIOS{}
		set(s.BIOS, field{"vendor", &b.Vendor}, field{"version", &b.Version},
			field{"date", &b.Date}, field{"release", &b.Release})
		cfg.BIOS = b
	}
	y := &cfg.System
	set(s.System, field{"manufacturer", &y.Manufacturer}, field{"product", &y.Product},
		field{"version", &y.Version}, field{"serial", &y.Serial}, field{"sku", &y.SKU}, field{"family", &y.Family})
	if len(s.BaseBoard) > 0 {
		b := &smbios.BaseBoard{}
		set(s.BaseBoard, field{"manufacturer", &b.Manufacturer}, field{"product", &b.Product},
			field{"version", &b.Version}, field{"serial", &b.Serial}, field{"asset", &b.Asset}, field{"location", &b.Location})
		cfg.BaseBoard = b
	}
	c := &cfg.Chassis
	set(s.Chassis, field{"manufacturer", &c.Manufacturer}, field{"version", &c.Version},
		field{"serial", &c.Serial}, field{"asset", &c.Asset}, field{"sku", &c.SKU})
	for _, text := range s.OEMStrings {
		cfg.OEMStrings = append(cfg.OEMStrings, text.Value)
	}
}

// Where a guest without firmware finds the tables: both at the end of the BIOS
// area, behind the MultiProcessor tables.
const (
	smbiosAnchor = 0xFFF00
	smbiosData   = 0xF8000
)

// writeSMBIOS puts the tables into the BIOS area, or, where they are too many,
// below the end of RAM, *end, which it lowers.
func (m *Machine) writeSMBIOS(cfg *boot.Config, end *uint64) error {
	tables, err := m.smbiosTables()
	if err != nil {
		return err
	}
	at := uint64(smbiosData)
	if size := uint64(len(tables.Data)); size > smbiosAnchor-smbiosData {
		if size+pageMask > *end/2 {
			return fmt.Errorf("memory: %d bytes are too few for the SMBIOS tables", *end)
		}
		at = (*end - size) &^ pageMask
		cfg.Reserved = append(cfg.Reserved, boot.E820Entry{Base: at, Size: *end - at, Type: boot.E820Reserved})
		*end = at
	}
	image, err := tables.Place(at, smbiosAnchor)
	if err != nil {
		return err
	}
	if err := m.ram.WriteAt(image.Data, image.DataAddr); err != nil {
		return err
	}
	return m.ram.WriteAt(image.Anchor, image.AnchorAddr)
}
