package memory

import (
	"strings"
	"testing"
	"testing/fstest"
)

func TestHostLimit(t *testing.T) {
	const (
		v2Mount  = "30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
		v1Mount  = "31 1 0:27 / /sys/fs/cgroup/memory rw shared:5 - cgroup cgroup rw,memory\n"
		cpuMount = "32 1 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
		rootLine = "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
	)
	tests := []struct {
		name         string
		cgroup       string
		mounts       string
		files        map[string]string
		addressSpace uint64
		want         uint64
		source       string
	}{
		{name: "none", cgroup: "0::/\n", mounts: rootLine, addressSpace: unlimited, want: unlimited},
		{name: "no limit in version 2", cgroup: "0::/user/vm\n", mounts: v2Mount,
			files: map[string]string{
				"sys/fs/cgroup/user/vm/memory.max": "max\n",
				"sys/fs/cgroup/user/memory.max":    "max\n",
			}, addressSpace: unlimited, want: unlimited},
		{name: "version 2", cgroup: "0::/user/vm\n", mounts: rootLine + v2Mount,
			files:        map[string]string{"sys/fs/cgroup/user/vm/memory.max": "536870912\n"},
			addressSpace: unlimited, want: 512 * mib, source: "memory.max of the cgroup /user/vm"},
		{name: "version 2, the parent is tighter", cgroup: "0::/user/vm\n", mounts: v2Mount,
			files: map[string]string{
				"sys/fs/cgroup/user/vm/memory.max": "536870912\n",
				"sys/fs/cgroup/user/memory.max":    "268435456\n",
			}, addressSpace: unlimited, want: 256 * mib, source: "memory.max of the cgroup /user"},
		{name: "version 1", cgroup: "5:cpu:/other\n4:hugetlb,memory:/job\n", mounts: cpuMount + v1Mount,
			files: map[string]string{
				"sys/fs/cgroup/memory/job/memory.limit_in_bytes": "1073741824\n",
				"sys/fs/cgroup/memory/memory.limit_in_bytes":     "9223372036854771712\n",
			}, addressSpace: unlimited, want: gib, source: "memory.limit_in_bytes of the cgroup /job"},
		{name: "version 1 without limit", cgroup: "4:memory:/job\n", mounts: v1Mount,
			files: map[string]string{
				"sys/fs/cgroup/memory/job/memory.limit_in_bytes": "9223372036854771712\n",
			}, addressSpace: unlimited, want: unlimited},
		{name: "both versions", cgroup: "4:memory:/job\n0::/\n", mounts: v1Mount + v2Mount,
			files: map[string]string{
				"sys/fs/cgroup/memory/job/memory.limit_in_bytes": "1073741824\n",
			}, addressSpace: unlimited, want: gib, source: "memory.limit_in_bytes"},
		{name: "container with its cgroup as root", cgroup: "4:memory:/docker/ab\n",
			mounts: "31 1 0:27 /docker/ab /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
			files: map[string]string{
				"sys/fs/cgroup/memory/memory.limit_in_bytes": "1048576\n",
			}, addressSpace: unlimited, want: mib, source: "/docker/ab"},
		{name: "container, below its root", cgroup: "0::/docker/ab/job\n",
			mounts: "31 1 0:27 /docker/ab /sys/fs/cgroup ro - cgroup2 cgroup rw\n",
			files: map[string]string{
				"sys/fs/cgroup/job/memory.max": "2097152\n",
			}, addressSpace: unlimited, want: 2 * mib, source: "memory.max of the cgroup /docker/ab/job"},
		{name: "container, another root", cgroup: "0::/system\n",
			mounts:       "31 1 0:27 /docker/ab /sys/fs/cgroup ro - cgroup2 cgroup rw\n",
			files:        map[string]string{"sys/fs/cgroup/memory.max": "4194304\n"},
			addressSpace: unlimited, want: 4 * mib, source: "memory.max"},
		{name: "space in the mount point", cgroup: "0::/a\n",
			mounts:       `30 1 0:26 / /mnt/c\040g rw - cgroup2 cgroup2 rw` + "\n",
			files:        map[string]string{"mnt/c g/a/memory.max": "8388608\n"},
			addressSpace: unlimited, want: 8 * mib, source: "memory.max"},
		{name: "address space", cgroup: "0::/vm\n", mounts: v2Mount,
			files:        map[string]string{"sys/fs/cgroup/vm/memory.max": "2147483648\n"},
			addressSpace: gib, want: gib, source: "RLIMIT_AS"},
		{name: "lines of another age", cgroup: "nonsense\n0::/vm\n", mounts: "short\n - \n" + v2Mount,
			files:        map[string]string{"sys/fs/cgroup/vm/memory.max": "2147483648\n"},
			addressSpace: unlimited, want: 2 * gib, source: "memory.max"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := fstest.MapFS{
				"proc/self/cgroup":    {Data: []byte(tt.cgroup)},
				"proc/self/mountinfo": {Data: []byte(tt.mounts)},
			}
			for name, data := range tt.files {
				root[name] = &fstest.MapFile{Data: []byte(data)}
			}
			l, limited, err := hostLimit(root, tt.addressSpace)
			must(t, err)
			if l.Bytes != tt.want || limited != (tt.want != unlimited) {
				t.Errorf("got %d bytes, %v; want %d", l.Bytes, limited, tt.want)
			}
			if limited && !strings.Contains(l.String(), tt.source) {
				t.Errorf("%q does not say %q", l, tt.source)
			}
		})
	}
}

func TestHostLimitErrors(t *testing.T) {
	root := fstest.MapFS{}
	if _, _, err := hostLimit(root, unlimited); err == nil || !strings.Contains(err.Error(), "mountinfo") {
		t.Errorf("no proc: %v", err)
	}
	root["proc/self/mountinfo"] = &fstest.MapFile{Data: []byte("30 1 0:26 / /cg rw - cgroup2 cgroup2 rw\n")}
	if _, _, err := hostLimit(root, unlimited); err == nil || !strings.Contains(err.Error(), "proc/self/cgroup") {
		t.Errorf("no cgroup file: %v", err)
	}
	root["proc/self/cgroup"] = &fstest.MapFile{Data: []byte("0::/vm\n")}
	root["cg/vm/memory.max"] = &fstest.MapFile{Data: []byte("plenty\n")}
	if _, _, err := hostLimit(root, unlimited); err == nil || !strings.Contains(err.Error(), "cg/vm/memory.max") {
		t.Errorf("not a number: %v", err)
	}
}

// TestHostLimitHere reads this machine's own files.
func TestHostLimitHere(t *testing.T) {
	l, limited, err := HostLimit()
	must(t, err)
	if limited && (l.Bytes < mib || l.Source == "") {
		t.Errorf("the limit here is %s", l)
	}
}

// FuzzHostLimit: what a strange kernel or container shows is no reason to
// panic or to loop.
func FuzzHostLimit(f *testing.F) {
	f.Add("0::/a/b\n", "30 1 0:26 / /cg rw - cgroup2 cgroup2 rw\n", "max")
	f.Add("4:memory:/../..\n", "31 1 0:27 /x /m rw - cgroup cgroup rw,memory\n", "12")
	f.Add("0::\n", "31 1 0:27  - cgroup2\n", "-1")
	f.Fuzz(func(t *testing.T, cgroup, mounts, limit string) {
		root := fstest.MapFS{
			"proc/self/cgroup":    {Data: []byte(cgroup)},
			"proc/self/mountinfo": {Data: []byte(mounts)},
			"cg/a/memory.max":     {Data: []byte(limit)},
		}
		if l, limited, err := hostLimit(root, gib); err == nil && (!limited || l.Bytes > gib) {
			t.Errorf("%s is above the address space's limit", l)
		}
	})
}
