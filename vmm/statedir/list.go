package statedir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Entry is a machine that runs.
type Entry struct {
	Name string
	PID  int
	Path string // of the state directory
}

// List returns the machines of root that run, by name, and removes what killed
// ones left behind. A root that does not exist has none.
func List(root string) ([]Entry, error) {
	unlock, err := lockRoot(root, false)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer unlock()
	dirs, err := os.ReadDir(root) // sorted
	if err != nil {
		return nil, err
	}
	var list []Entry
	for _, d := range dirs {
		if !d.IsDir() {
			continue // not ours
		}
		e := Entry{Name: d.Name(), Path: filepath.Join(root, d.Name())}
		pid, running, err := judge(e.Path)
		switch {
		case running && err == nil:
			e.PID = pid
			list = append(list, e)
		case err != nil:
			// A directory without a pid file is not one of these, and stays.
			if !errors.Is(err, os.ErrNotExist) {
				return nil, err
			}
		default:
			if err := os.RemoveAll(e.Path); err != nil {
				return nil, err
			}
		}
	}
	return list, nil
}

// NotFoundError is a machine that does not run.
type NotFoundError struct {
	Root, Name string
	Running    []string // the names of those that do
}

// Error tells which machines there are instead.
func (e *NotFoundError) Error() string {
	there := "none runs"
	if len(e.Running) > 0 {
		there = "running: " + strings.Join(e.Running, ", ")
	}
	return fmt.Sprintf("no machine named %q runs (in %s; %s)", e.Name, e.Root, there)
}

// Find returns the machine of root with the name given. The error is a
// *NotFoundError if it does not run.
func Find(root, name string) (Entry, error) {
	list, err := List(root)
	if err != nil {
		return Entry{}, err
	}
	missing := &NotFoundError{Root: root, Name: name}
	for _, e := range list {
		if e.Name == name {
			return e, nil
		}
		missing.Running = append(missing.Running, e.Name)
	}
	return Entry{}, missing
}
