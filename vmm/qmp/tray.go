package qmp

import (
	"context"
	"errors"
	"os"

	"github.com/govmm/govmm/vmm"
)

// The steps of a change of media (qapi/block.json, block-core.json): the tray is opened,
// the medium taken out, a named one put in, the tray closed.

// openTray opens a tray. A guest that has locked it is asked, and the event tells when it
// has let go, as in QEMU.
func (s *Server) openTray(ctx context.Context, a *arguments) (any, error) {
	d, force := s.takeDrive(a), optional[bool](a, "force")
	return do(a, func() error {
		err := s.machine.OpenTray(ctx, d.target(), force)
		if errors.Is(err, vmm.ErrTrayLocked) {
			return nil
		}
		return s.moved(d, true, err)
	})
}

func (s *Server) closeTray(ctx context.Context, a *arguments) (any, error) {
	d := s.takeDrive(a)
	return do(a, func() error { return s.moved(d, false, s.machine.CloseTray(ctx, d.target())) })
}

// moved notes where a tray is now, unless it could not be moved. Its event comes later.
func (s *Server) moved(d *drive, open bool, err error) error {
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		d.open = open
	}
	return err
}

func (s *Server) removeMedium(ctx context.Context, a *arguments) (any, error) {
	d := s.takeDrive(a)
	return do(a, func() error {
		if err := s.machine.RemoveMedium(ctx, d.target()); err != nil {
			return err
		}
		s.holds(d, "", "")
		return nil
	})
}

// insertMedium puts what a node stands for into an open tray.
func (s *Server) insertMedium(ctx context.Context, a *arguments) (any, error) {
	d, name := s.takeDrive(a), need[string](a, "node-name")
	return do(a, func() error {
		s.mu.Lock()
		n, known := s.nodes[name]
		s.mu.Unlock()
		switch has := formatOf(d.config); {
		case !known:
			return failf("there is no node '%s'; blockdev-add makes one", name)
		case n.format != has:
			return failf("the domain says that the images of %s are %s, and the node '%s' is %s", d.target(), has, name, n.format)
		}
		if err := s.machine.InsertMedium(ctx, d.target(), n.file); err != nil {
			return err
		}
		s.holds(d, n.file, name)
		return nil
	})
}

// holds notes what is in a drive.
func (s *Server) holds(d *drive, file, node string) {
	s.log.Info("the medium was changed", "drive", d.target(), "path", file)
	s.mu.Lock()
	defer s.mu.Unlock()
	d.file, d.node = file, node
}

// node is what blockdev-add has named: an image, which is opened when it is put into a
// drive.
type node struct {
	file   string
	format string // "raw", or what the domain says of a drive's images
}

// maxNodes bounds what a client can have this process keep.
const maxNodes = 256

// The drivers of a node that is a file, not a format.
const (
	driverFile       = "file"
	driverHostDevice = "host_device"
)

// addNode names an image (BlockdevOptions): a file, or a format whose "file" is one, by its
// own options or by the name of another node. What else QEMU knows of a node, the domain
// says of the drive here.
func (s *Server) addNode(_ context.Context, a *arguments) (any, error) {
	driver, name := need[string](a, "driver"), need[string](a, "node-name")
	file, filename := optional[any](a, "file"), optional[string](a, "filename")
	optional[bool](a, "read-only")
	optional[bool](a, "auto-read-only")
	return do(a, func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if _, taken := s.nodes[name]; taken || name == "" || len(s.nodes) == maxNodes {
			return failf("the node's name '%s' is empty or taken, or there are %d already", name, maxNodes)
		}
		n := node{filename, "raw"}
		if driver != driverFile && driver != driverHostDevice {
			n = node{s.fileOf(file), driver}
		}
		if n.file == "" {
			return failf("the node '%s' has no file: driver '%s' needs 'filename', every other one 'file', "+
				"an object with those or the name of a node", name, driverFile)
		}
		if _, err := os.Stat(n.file); err != nil {
			return err
		}
		s.nodes[name] = n
		return nil
	})
}

// fileOf is the path that a format's "file" (BlockdevRef) leads to, "" if it does not. The
// caller holds the lock.
func (s *Server) fileOf(file any) string {
	switch file := file.(type) {
	case string:
		return s.nodes[file].file
	case map[string]any:
		if driver := file["driver"]; driver == driverFile || driver == driverHostDevice {
			path, _ := file["filename"].(string)
			return path
		}
	}
	return ""
}

// deleteNode forgets a name that no drive's medium has.
func (s *Server) deleteNode(_ context.Context, a *arguments) (any, error) {
	name := need[string](a, "node-name")
	return do(a, func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if _, known := s.nodes[name]; !known {
			return failf("there is no node '%s'", name)
		}
		for _, d := range s.drives {
			if d.node == name {
				return failf("the node '%s' is in the drive %s", name, d.target())
			}
		}
		delete(s.nodes, name)
		return nil
	})
}
