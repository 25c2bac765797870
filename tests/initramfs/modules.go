package initramfs

import (
	"bufio"
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/therootcompany/xz"
)

// ModuleList is where [Modules] puts the load list in an image: one module a
// line, dependencies first, as a file name below [ModuleDir] followed by the
// module's parameters.
const (
	ModuleDir  = "/lib/modules"
	ModuleList = ModuleDir + "/list"
)

// ModuleTree is the module directory of one kernel, /lib/modules/RELEASE.
//
// Kernel packages ship no modules.dep (depmod writes it when a package is
// installed), so dependencies are read from the modules themselves: their
// .modinfo section has depends= (needed symbols) and softdep= (asked for by
// the author).
type ModuleTree struct {
	dir     string
	files   map[string]string // canonical name -> path below dir
	builtin map[string]bool
}

// OpenModules looks through dir, for example /lib/modules/6.1.0-56-amd64.
func OpenModules(dir string) (*ModuleTree, error) {
	t := &ModuleTree{dir: dir, files: map[string]string{}, builtin: map[string]bool{}}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if name, ok := moduleName(d.Name()); ok {
			rel, err := filepath.Rel(dir, p)
			if err != nil {
				return err
			}
			t.files[name] = rel
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("modules: %w", err)
	}
	list, err := os.ReadFile(filepath.Join(dir, "modules.builtin"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("modules: %w", err)
	}
	for line := range strings.Lines(string(list)) {
		if name, ok := moduleName(path.Base(strings.TrimSpace(line))); ok {
			t.builtin[name] = true
		}
	}
	if len(t.files) == 0 && len(t.builtin) == 0 {
		return nil, fmt.Errorf("modules: %s holds no kernel modules", dir)
	}
	return t, nil
}

// moduleName gives the name the kernel knows a module file by: no directory,
// no .ko or compression suffix, and _ for -.
func moduleName(file string) (string, bool) {
	name, suffix, ok := strings.Cut(file, ".ko")
	if !ok || name == "" || suffix != "" && suffix[0] != '.' {
		return "", false
	}
	return canonical(name), true
}

func canonical(name string) string { return strings.ReplaceAll(name, "-", "_") }

// Has tells whether the kernel has the module, as a file or built in.
func (t *ModuleTree) Has(name string) bool {
	name = canonical(name)
	return t.files[name] != "" || t.builtin[name]
}

// Closure returns the files, below the tree's directory, that must be loaded
// for the named modules, every dependency before what needs it. A module that
// is built into the kernel adds nothing; one the kernel does not have is an
// error. Soft dependencies come along if they are module files.
func (t *ModuleTree) Closure(names ...string) ([]string, error) {
	var order []string
	seen := map[string]bool{}
	var add func(name, wantedBy string) error
	add = func(name, wantedBy string) error {
		name = canonical(name)
		if seen[name] || t.builtin[name] {
			return nil
		}
		seen[name] = true
		file, ok := t.files[name]
		if !ok {
			return fmt.Errorf("modules: %s has no module %s%s", t.dir, name, wantedBy)
		}
		hard, soft, err := t.dependencies(file)
		if err != nil {
			return err
		}
		for _, dep := range hard {
			if err := add(dep, ", which "+name+" needs"); err != nil {
				return err
			}
		}
		for _, dep := range soft {
			// A soft dependency may name an alias of some module;
			// loading works without it.
			if t.files[canonical(dep)] == "" {
				continue
			}
			if err := add(dep, ""); err != nil {
				return err
			}
		}
		order = append(order, file)
		return nil
	}
	for _, name := range names {
		if err := add(name, ""); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// dependencies reads a module's own statement of what it needs.
func (t *ModuleTree) dependencies(file string) (hard, soft []string, err error) {
	image, err := t.Read(file)
	if err != nil {
		return nil, nil, err
	}
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return nil, nil, fmt.Errorf("module %s: %w", file, err)
	}
	section := f.Section(".modinfo")
	if section == nil {
		return nil, nil, fmt.Errorf("module %s: no .modinfo section", file)
	}
	info, err := section.Data()
	if err != nil {
		return nil, nil, fmt.Errorf("module %s: .modinfo: %w", file, err)
	}
	hard, soft = parseModinfo(info)
	return hard, soft, nil
}

// parseModinfo picks the dependencies out of a .modinfo section, which is a
// row of NUL-terminated key=value strings:
//
//	depends=mdio,libphy
//	softdep=pre: crc32c post: tls
func parseModinfo(info []byte) (depends, pre []string) {
	for field := range bytes.SplitSeq(info, []byte{0}) {
		key, value, _ := strings.Cut(string(field), "=")
		switch key {
		case "depends":
			for name := range strings.SplitSeq(value, ",") {
				if name != "" {
					depends = append(depends, name)
				}
			}
		case "softdep":
			before := false
			for _, word := range strings.Fields(value) {
				switch {
				case word == "pre:":
					before = true
				case word == "post:":
					before = false
				case before:
					pre = append(pre, word)
				}
			}
		}
	}
	return depends, pre
}

// Read returns the ELF image of a module file named by [ModuleTree.Closure],
// decompressed if it was kept compressed.
func (t *ModuleTree) Read(file string) ([]byte, error) {
	f, err := os.Open(filepath.Join(t.dir, file))
	if err != nil {
		return nil, fmt.Errorf("modules: %w", err)
	}
	defer f.Close()
	var r io.Reader = f
	switch ext := filepath.Ext(file); ext {
	case ".ko":
	case ".xz":
		if r, err = xz.NewReader(bufio.NewReader(f), 0); err != nil {
			return nil, fmt.Errorf("module %s: %w", file, err)
		}
	default:
		return nil, fmt.Errorf("module %s: compressed with %s; only plain and .xz modules are read", file, ext)
	}
	image, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("module %s: %w", file, err)
	}
	return image, nil
}

// Modules returns the named modules of the kernel whose modules are in dir and
// all they depend on, with the load list [ModuleList]. A name may be followed
// by parameters: "loop max_loop=8".
func Modules(dir string, names ...string) ([]File, error) {
	tree, err := OpenModules(dir)
	if err != nil {
		return nil, err
	}
	params := map[string]string{}
	bare := make([]string, len(names))
	for i, spec := range names {
		name, p, _ := strings.Cut(spec, " ")
		bare[i] = name
		params[canonical(name)] = p
	}
	order, err := tree.Closure(bare...)
	if err != nil {
		return nil, err
	}
	var files []File
	var list strings.Builder
	for _, rel := range order {
		image, err := tree.Read(rel)
		if err != nil {
			return nil, err
		}
		name, _ := moduleName(path.Base(rel))
		files = append(files, Regular(path.Join(ModuleDir, name+".ko"), 0o644, image))
		fmt.Fprintln(&list, strings.TrimSpace(name+".ko "+params[name]))
	}
	return append(files, Regular(ModuleList, 0o644, []byte(list.String()))), nil
}
