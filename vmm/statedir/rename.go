package statedir

import (
	"errors"
	"os"
	"path/filepath"
)

// Rename gives the machine another name: its directory moves, and the control socket
// with it. The error is a *RunningError when the name is in use; the old name stays
// then, as after any other error.
func (d *Dir) Rename(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	unlock, err := lockRoot(d.root, false)
	if err != nil {
		return err
	}
	defer unlock()
	path := filepath.Join(d.root, name)
	if err := clearStale(path, name); err != nil {
		return err
	}
	if err := os.Rename(d.path, path); err != nil {
		return err
	}
	d.path = path
	return nil
}

// clearStale removes what a killed process left behind under a name. The root is
// locked.
func clearStale(path, name string) error {
	pid, running, err := judge(path)
	switch {
	case running:
		return &RunningError{name, pid}
	case err == nil:
		err = os.RemoveAll(path)
	case errors.Is(err, os.ErrNotExist):
		err = os.Remove(path) // it was killed early; what is not empty is not ours
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
