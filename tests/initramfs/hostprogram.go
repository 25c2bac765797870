package initramfs

import (
	"debug/elf"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// libraryDirs are where Debian and others keep a 64-bit program's libraries.
var libraryDirs = []string{"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"}

// HostProgram are a program of this machine, as /bin/NAME, and the libraries and
// the dynamic loader that it needs, where it looks for them. An error names the
// package that the program is missing from.
func HostProgram(name, pkg string) ([]File, error) {
	program, err := findProgram(name, pkg)
	if err != nil {
		return nil, err
	}
	files := []File{HostFile("/bin/"+name, program)}
	have := map[string]bool{}
	for wanted := []string{program}; len(wanted) > 0; wanted = wanted[1:] {
		loader, libraries, err := needs(wanted[0])
		if err != nil {
			return nil, fmt.Errorf("initramfs: %s: %w", wanted[0], err)
		}
		if loader != "" {
			files = append(files, HostFile(loader, loader))
		}
		for _, library := range libraries {
			if have[library] {
				continue
			}
			have[library] = true
			path, err := findLibrary(library)
			if err != nil {
				return nil, fmt.Errorf("initramfs: %s: %w", wanted[0], err)
			}
			files = append(files, HostFile(path, path))
			wanted = append(wanted, path)
		}
	}
	return files, nil
}

// findProgram also looks where a user's PATH does not lead.
func findProgram(name, pkg string) (string, error) {
	for _, file := range []string{name, "/usr/sbin/" + name, "/sbin/" + name} {
		if path, err := exec.LookPath(file); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("initramfs: %s not found; install the package %s", name, pkg)
}

// needs tells which dynamic loader (of a program) and which libraries an ELF file
// names.
func needs(file string) (loader string, libraries []string, err error) {
	f, err := elf.Open(file)
	if err != nil {
		return "", nil, err
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		text, err := io.ReadAll(p.Open())
		if err != nil {
			return "", nil, err
		}
		loader = strings.TrimRight(string(text), "\x00")
	}
	libraries, err = f.ImportedLibraries()
	return loader, libraries, err
}

func findLibrary(name string) (string, error) {
	for _, dir := range libraryDirs {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no library %s in %s", name, strings.Join(libraryDirs, ", "))
}
