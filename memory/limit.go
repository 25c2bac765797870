package memory

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// unlimited is RLIM_INFINITY, and stands for any limit that is none.
const unlimited = math.MaxUint64

// Limit is a bound on the memory of this process.
type Limit struct {
	Bytes uint64
	// Source says what sets it and where it can be changed, to follow the
	// words "the limit of".
	Source string
}

// String is, for example, "512 MiB (memory.max of the cgroup /vm)".
func (l Limit) String() string { return FormatSize(l.Bytes) + " (" + l.Source + ")" }

const addressSpaceSource = "the process's address-space limit (RLIMIT_AS, ulimit -v)"

func addressSpaceLimit() uint64 {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_AS, &lim); err != nil {
		return unlimited
	}
	return lim.Cur
}

// HostLimit returns the lowest limit that this process's memory is under: of
// its memory cgroup (version 2 or 1) and the cgroups around it, and its
// address space. It returns false when there is none. A machine whose RAM is
// larger would be refused by the host, or killed once it uses it. An error
// means that the limits could not be read, which is no reason not to try.
func HostLimit() (Limit, bool, error) {
	return hostLimit(os.DirFS("/"), addressSpaceLimit())
}

// hostLimit reads proc and the cgroup file systems under root.
func hostLimit(root fs.FS, addressSpace uint64) (Limit, bool, error) {
	lowest := Limit{Bytes: addressSpace, Source: addressSpaceSource}
	mounts, err := cgroupMounts(root)
	if err != nil {
		return Limit{}, false, fmt.Errorf("memory limit: %w", err)
	}
	groups, err := readLines(root, "proc/self/cgroup")
	if err != nil {
		return Limit{}, false, fmt.Errorf("memory limit: %w", err)
	}
	for _, line := range groups {
		// hierarchy-ID:controller-list:cgroup-path (cgroups(7)); version 2 has
		// no controllers here.
		fields := strings.SplitN(line, ":", 3)
		if len(fields) != 3 {
			continue
		}
		for _, m := range mounts {
			if !m.carries(fields[1]) {
				continue
			}
			l, err := m.lowest(root, fields[2])
			if err != nil {
				return Limit{}, false, fmt.Errorf("memory limit: %w", err)
			}
			if l.Bytes < lowest.Bytes {
				lowest = l
			}
		}
	}
	return lowest, lowest.Bytes != unlimited, nil
}

// cgroupMount is a mounted cgroup hierarchy that may limit memory.
type cgroupMount struct {
	version2 bool
	root     string // the cgroup that is mounted
	dir      string // where, relative to /
}

// carries reports whether the controllers, from a line of /proc/self/cgroup,
// are those of this mount.
func (m cgroupMount) carries(controllers string) bool {
	if m.version2 {
		return controllers == ""
	}
	for c := range strings.SplitSeq(controllers, ",") {
		if c == "memory" {
			return true
		}
	}
	return false
}

// cgroupMounts finds the hierarchies in /proc/self/mountinfo (proc(5)):
//
//	36 35 98:0 /root /mount/point options [fields...] - type source super-options
func cgroupMounts(root fs.FS) ([]cgroupMount, error) {
	lines, err := readLines(root, "proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var mounts []cgroupMount
	for _, line := range lines {
		left, right, ok := strings.Cut(line, " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if !ok || len(l) < 5 || len(r) < 3 {
			continue
		}
		m := cgroupMount{root: unescape(l[3]), dir: strings.TrimPrefix(unescape(l[4]), "/")}
		switch {
		case r[0] == "cgroup2":
			m.version2 = true
		case r[0] == "cgroup" && (cgroupMount{}).carries(r[2]):
		default:
			continue
		}
		mounts = append(mounts, m)
	}
	return mounts, nil
}

// unescape undoes the octal escapes of mountinfo.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// lowest returns the lowest limit of a cgroup and those around it, as far up as
// they are mounted.
func (m cgroupMount) lowest(root fs.FS, group string) (Limit, error) {
	file := "memory.limit_in_bytes"
	if m.version2 {
		file = "memory.max"
	}
	low := Limit{Bytes: unlimited}
	for rel := m.relative(group); ; rel = path.Dir(rel) {
		n, err := readLimit(root, path.Join(m.dir, rel, file))
		if err != nil {
			return Limit{}, err
		}
		if n < low.Bytes {
			low = Limit{Bytes: n, Source: fmt.Sprintf("%s of the cgroup %s", file, path.Join(m.root, rel))}
		}
		if rel == "/" {
			return low, nil
		}
	}
}

// relative is where a cgroup is under the mount. In a container the mounted
// cgroup may be the group itself, or one that the path does not lead to.
func (m cgroupMount) relative(group string) string {
	if m.root == "/" {
		return path.Clean("/" + group)
	}
	if rest, ok := strings.CutPrefix(group, m.root); ok && (rest == "" || rest[0] == '/') {
		return path.Clean("/" + rest)
	}
	return "/"
}

// readLimit reads a limit file. The root cgroup and one without the memory
// controller have none.
func readLimit(root fs.FS, name string) (uint64, error) {
	b, err := fs.ReadFile(root, name)
	if errors.Is(err, fs.ErrNotExist) {
		return unlimited, nil
	}
	if err != nil {
		return 0, err
	}
	s := string(bytes.TrimSpace(b))
	if s == "max" {
		return unlimited, nil
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	// Version 1 has no word for "no limit": it shows the greatest number of
	// whole pages in a signed 64-bit count of bytes.
	if n >= math.MaxInt64/PageSize*PageSize {
		return unlimited, nil
	}
	return n, nil
}

func readLines(root fs.FS, name string) ([]string, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var lines []string
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		lines = append(lines, s.Text())
	}
	return lines, s.Err()
}
