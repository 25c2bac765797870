package vmm

import (
	"context"
	"errors"
	"fmt"

	"github.com/govmm/govmm/devices/ide"
)

// The tray of a CD-ROM drive, step by step, where ChangeMedia takes all steps at once. A
// drive without a tray, for floppy disks, is as one whose tray is always open.

// ErrTrayLocked is part of the error for a tray that the guest keeps closed. It has been
// asked to let go.
var ErrTrayLocked = ide.ErrLocked

// ErrTrayClosed is part of the error for a drive that must be opened first.
var ErrTrayClosed = ide.ErrTrayClosed

// OpenTray opens the tray of the drive with the target name given (hdc), with what is in
// it, and does nothing if it is open. One that the guest has locked opens only when force
// is set; otherwise the guest is asked, and the error is ErrTrayLocked. EventTray tells
// when it opens.
func (m *Machine) OpenTray(ctx context.Context, target string, force bool) error {
	return m.onDrive(ctx, target, func(d *disk) error {
		if t := d.drive.tray(); t != nil {
			return t.OpenTray(force)
		}
		return nil
	})
}

// CloseTray closes the tray of a drive with what is in it, and does nothing if it is
// closed.
func (m *Machine) CloseTray(ctx context.Context, target string) error {
	return m.onDrive(ctx, target, func(d *disk) error {
		if t := d.drive.tray(); t != nil {
			t.CloseTray()
		}
		return nil
	})
}

// RemoveMedium takes the medium, if there is one, out of the open tray of a drive. The
// error is ErrTrayClosed for one that is closed.
func (m *Machine) RemoveMedium(ctx context.Context, target string) error {
	return m.onDrive(ctx, target, func(d *disk) error {
		remove := func() error { return d.drive.eject(true) }
		if t := d.drive.tray(); t != nil {
			remove = t.Remove
		}
		if err := remove(); err != nil {
			return err
		}
		old := d.medium
		d.medium = nil
		return closeBackend(old)
	})
}

// InsertMedium puts the image at path into the open and empty tray of a drive, which stays
// open. The error is ErrTrayClosed for one that is closed.
func (m *Machine) InsertMedium(ctx context.Context, target, path string) error {
	return m.onDrive(ctx, target, func(d *disk) error {
		if d.medium != nil {
			return ide.ErrOccupied
		}
		next, err := m.openNext(ctx, d, path)
		if err != nil {
			return err
		}
		insert := d.drive.insert
		if t := d.drive.tray(); t != nil {
			insert = t.Place
		}
		if err := insert(next); err != nil {
			return errors.Join(err, next.Close())
		}
		d.medium = next
		return nil
	})
}

// onDrive calls f with a drive whose medium can be changed.
func (m *Machine) onDrive(ctx context.Context, target string, f func(*disk) error) error {
	return m.do(ctx, func() error {
		d, err := m.removable(target)
		if err == nil {
			err = f(d)
		}
		if err != nil {
			return fmt.Errorf("drive %s: %w", target, err)
		}
		return nil
	})
}
