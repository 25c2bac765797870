package qmp

import (
	"cmp"
	"context"

	"github.com/govmm/govmm/domcfg"
)

// drive is a disk or drive of the machine.
type drive struct {
	config *domcfg.Disk
	file   string // empty: no medium
	node   string // the medium's name, if it has one
	open   bool   // its tray
}

func (d *drive) target() string { return d.config.Target.Dev }

func drivesOf(d *domcfg.Domain) []*drive {
	var list []*drive
	for _, disk := range d.Devices.Disks {
		entry := &drive{config: disk, open: disk.Target.Tray == domcfg.TrayOpen}
		if disk.HasMedium() {
			entry.file = disk.SourcePath()
		}
		list = append(list, entry)
	}
	return list
}

func findDrive(list []*drive, target string) *drive {
	for _, d := range list {
		if d.target() == target {
			return d
		}
	}
	return nil
}

// lockReporter is a Machine that knows whether the guest has locked the tray of a
// CD-ROM drive.
type lockReporter interface{ TrayLocked(target string) bool }

// blockInfo is a BlockInfo (qapi/block-core.json), as far as it is known here.
type blockInfo struct {
	Device    string `json:"device"`
	QDev      string `json:"qdev"`
	Type      string `json:"type"` // "unknown", always
	Removable bool   `json:"removable"`
	// Locked is left out when the machine does not tell.
	Locked   *bool         `json:"locked,omitempty"`
	TrayOpen *bool         `json:"tray_open,omitempty"` // of a CD-ROM drive
	Inserted *insertedInfo `json:"inserted,omitempty"`
}

type insertedInfo struct {
	File     string     `json:"file"`
	ReadOnly bool       `json:"ro"`
	Driver   string     `json:"drv"`
	Image    *imageInfo `json:"image,omitempty"` // of a hard disk
}

// imageInfo is an ImageInfo.
type imageInfo struct {
	File   string `json:"filename"`
	Format string `json:"format"`
	Size   int64  `json:"virtual-size"` // bytes
}

func (s *Server) queryBlock(_ context.Context, a *arguments) (any, error) {
	if err := a.done(); err != nil {
		return nil, err
	}
	locked := func(d *domcfg.Disk) *bool {
		if d.Device != domcfg.DeviceCDROM {
			return new(bool)
		}
		if r, ok := s.machine.(lockReporter); ok {
			is := r.TrayLocked(d.Target.Dev)
			return &is
		}
		return nil
	}
	sizes := make(map[string]int64)
	for _, d := range s.machine.DiskStats() {
		sizes[d.Target] = d.Size
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []blockInfo{}
	for _, d := range s.drives {
		info := blockInfo{
			Device: d.target(), QDev: d.target(), Type: "unknown",
			Removable: d.config.Removable(), Locked: locked(d.config),
		}
		if d.config.Device == domcfg.DeviceCDROM {
			open := d.open
			info.TrayOpen = &open
		}
		if d.file != "" {
			format := formatOf(d.config)
			info.Inserted = &insertedInfo{d.file, d.config.ReadOnly || d.config.Device == domcfg.DeviceCDROM, format, nil}
			if size := sizes[d.target()]; size > 0 {
				info.Inserted.Image = &imageInfo{d.file, format, size}
			}
		}
		list = append(list, info)
	}
	return list, nil
}

// formatOf is the format of a disk's images.
func formatOf(d *domcfg.Disk) string {
	if d.Driver == nil {
		return "raw"
	}
	return cmp.Or(d.Driver.Type, "raw")
}

// takeDrive takes the argument that names a drive: "id", or "device" in the older
// form.
func (s *Server) takeDrive(a *arguments) *drive {
	device, id := optional[string](a, "device"), optional[string](a, "id")
	switch {
	case a.err != nil:
	case device == "" && id == "":
		a.fail("parameter 'id' is missing")
	case device != "" && id != "":
		a.fail("parameters 'id' and 'device' exclude each other")
	}
	d := findDrive(s.drives, cmp.Or(id, device))
	if a.err == nil && d == nil {
		a.err = noDrive(cmp.Or(id, device))
	}
	return d
}

func noDrive(name string) error {
	return &Error{ClassDeviceNotFound, "there is no disk '" + name + "'; query-block lists them"}
}

// checkFormat refuses another format than that of a drive's images, if one is given.
func (a *arguments) checkFormat(parameter string, d *drive, format string) {
	if has := formatOf(d.config); format != "" && format != has {
		a.fail("parameter '%s': the domain says that the images of %s are %s, not %s", parameter, d.target(), has, format)
	}
}

// eject takes a medium out. A guest that has locked the drive is asked, and keeps
// it unless force is set.
func (s *Server) eject(ctx context.Context, a *arguments) (any, error) {
	d, force := s.takeDrive(a), optional[bool](a, "force")
	return do(a, func() error { return s.change(ctx, d, "", force) })
}

// changeMedium puts an image into a drive, in place of what is there.
func (s *Server) changeMedium(ctx context.Context, a *arguments) (any, error) {
	d := s.takeDrive(a)
	file, force := need[string](a, "filename"), optional[bool](a, "force")
	format, mode := optional[string](a, "format"), optional[string](a, "read-only-mode")
	if a.err == nil {
		a.checkFormat("format", d, format)
		switch {
		case file == "":
			a.fail("parameter 'filename' is empty; to take a medium out there is 'eject'")
		case mode != "" && mode != "retain":
			a.fail("parameter 'read-only-mode' is '%s'; only 'retain' is possible: the domain says whether %s can be written to", mode, d.target())
		}
	}
	return do(a, func() error { return s.change(ctx, d, file, force) })
}

func (s *Server) change(ctx context.Context, d *drive, file string, force bool) error {
	if err := s.machine.ChangeMedia(ctx, d.target(), file, force); err != nil {
		return err
	}
	s.log.Info("the medium was changed", "drive", d.target(), "path", file)
	s.mu.Lock()
	defer s.mu.Unlock()
	d.file, d.node, d.open = file, "", file == ""
	return nil
}

// changeOld is "change", the form of blockdev-change-medium that QEMU had before.
func (s *Server) changeOld(ctx context.Context, a *arguments) (any, error) {
	device, file, format := need[string](a, "device"), need[string](a, "target"), optional[string](a, "arg")
	d := findDrive(s.drives, device)
	if a.err == nil {
		switch {
		case d == nil:
			a.err = noDrive(device)
		case file == "":
			a.fail("parameter 'target' is empty; to take a medium out there is 'eject'")
		default:
			a.checkFormat("arg", d, format)
		}
	}
	return do(a, func() error { return s.change(ctx, d, file, false) })
}
