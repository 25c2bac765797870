package vmm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/domcfg"
)

// drive is a drive whose medium can be changed.
type drive interface {
	// fits says why the drive would not take a medium.
	fits(b block.Backend) error
	insert(b block.Backend) error
	// eject takes the medium out, if there is one, also if the guest has locked
	// the drive when force is set. The medium is not used any more then.
	eject(force bool) error
	// tray is nil for a drive that has none: its medium is put in and taken out as it
	// is.
	tray() tray
}

// tray is that of a CD-ROM drive. It moves with what is in it.
type tray interface {
	OpenTray(force bool) error
	CloseTray()
	// Place and Remove change what is in it while it is open.
	Place(b block.Backend) error
	Remove() error
}

// openMedium opens what is in a drive, or a hard disk. It is nil for an empty
// drive.
func (m *Machine) openMedium(ctx context.Context, d *domcfg.Disk) (block.Backend, error) {
	if !d.HasMedium() {
		return nil, nil
	}
	backend, err := m.openImage(ctx, d)
	if errors.Is(err, fs.ErrNotExist) && d.Source.StartupPolicy == domcfg.StartupOptional {
		m.log.Warn("the drive is empty, as its medium is missing", "drive", d.Target.Dev, "path", d.SourcePath())
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if backend.Size() == 0 {
		return nil, errors.Join(fmt.Errorf("%s is empty", d.SourceName()), backend.Close())
	}
	return backend, nil
}

// noteDisk notes a disk. Its medium, or the one that is there at the end, is closed
// after the controllers, which are added later.
func (m *Machine) noteDisk(d *disk) {
	m.board.disks = append(m.board.disks, d)
	m.closer.add(func() error { return closeBackend(d.medium) })
}

// diskError names the disk that is at fault.
func diskError(index int, d *domcfg.Disk, err error) error {
	return fmt.Errorf("devices/disk[%d]: %s: %w", index+1, d.Target.Dev, err)
}

// driverOf is the disk's element driver, or an empty one.
func driverOf(d *domcfg.Disk) domcfg.DiskDriver {
	if d.Driver == nil {
		return domcfg.DiskDriver{}
	}
	return *d.Driver
}

// ChangeMedia puts the image at path into the drive with the target name given
// (hdc, fda), in place of what is there. An empty path only takes that out. A
// drive that the guest has locked opens only when force is set; the guest has
// been asked then.
func (m *Machine) ChangeMedia(ctx context.Context, target, path string, force bool) error {
	return m.do(ctx, func() error {
		if err := m.changeMedia(ctx, target, path, force); err != nil {
			return fmt.Errorf("drive %s: %w", target, err)
		}
		return nil
	})
}

func (m *Machine) changeMedia(ctx context.Context, target, path string, force bool) error {
	d, err := m.removable(target)
	if err != nil {
		return err
	}
	var next block.Backend
	if path != "" {
		// The new one is opened and looked at first, so that one that is no good
		// changes nothing.
		if next, err = m.openNext(ctx, d, path); err != nil {
			return err
		}
	}
	if err := d.drive.eject(force); err != nil {
		return errors.Join(err, closeBackend(next))
	}
	old := d.medium
	d.medium = nil
	if err := closeBackend(old); err != nil {
		return errors.Join(err, closeBackend(next))
	}
	if next == nil {
		m.events.publish(Event{Kind: EventTray, Device: target, Open: true})
		return nil
	}
	if err := d.drive.insert(next); err != nil {
		return errors.Join(err, next.Close())
	}
	d.medium = next
	m.events.publish(Event{Kind: EventTray, Device: target})
	return nil
}

// removable finds a drive whose medium can be changed.
func (m *Machine) removable(target string) (*disk, error) {
	d, err := m.disk(target)
	if err == nil && d.drive == nil {
		err = errors.New("it is a hard disk: only CD-ROM and floppy drives have media that can be changed")
	}
	return d, err
}

// openNext opens the image at path for a drive that takes it.
func (m *Machine) openNext(ctx context.Context, d *disk, path string) (block.Backend, error) {
	config := *d.config
	config.Type, config.Source = domcfg.DiskFile, &domcfg.DiskSource{File: path}
	config.Target.Tray = ""
	next, err := m.openImage(ctx, &config)
	if err != nil {
		return nil, err
	}
	if err := d.drive.fits(next); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), next.Close())
	}
	return next, nil
}

func closeBackend(b block.Backend) error {
	if b == nil {
		return nil
	}
	return b.Close()
}
