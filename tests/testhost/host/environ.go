package host

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The environment variables a command on the test host finds.
const (
	envInside       = "TESTHOST"
	envKernel       = "TESTHOST_KERNEL"
	envModules      = "TESTHOST_MODULES"
	envCloudKernel  = "TESTHOST_CLOUD_KERNEL"
	envCloudModules = "TESTHOST_CLOUD_MODULES"
)

// passed tells whether a variable of the caller's goes to the command unasked.
func passed(name string) bool {
	switch name {
	case "PATH", "HOME", "LANG", "TERM":
		return true
	}
	for _, prefix := range []string{"GO", "TESTHOST"} { // GOVMM too
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// environment puts the command's environment together. Of two values of a
// name the later counts.
func environment(caller, extra []string, p paths) []string {
	values := map[string]string{}
	set := func(entry string) {
		if name, value, ok := strings.Cut(entry, "="); ok && name != "" {
			values[name] = value
		}
	}
	for _, entry := range caller {
		if name, _, _ := strings.Cut(entry, "="); passed(name) {
			set(entry)
		}
	}
	for _, entry := range extra {
		set(entry)
	}
	for _, entry := range Environ(p.outer, p.cloud) {
		set(entry)
	}
	env := make([]string, 0, len(values))
	for name, value := range values {
		env = append(env, name+"="+value)
	}
	slices.Sort(env)
	return env
}

// Environ is what a command finds in its environment about the test host.
func Environ(outer, cloud Kernel) []string {
	return []string{
		envInside + "=1",
		envKernel + "=" + outer.Image,
		envModules + "=" + outer.Modules,
		envCloudKernel + "=" + cloud.Image,
		envCloudModules + "=" + cloud.Modules,
	}
}

// workingDir is where the command starts.
func workingDir(dir string) (string, error) {
	if dir == "" {
		return os.Getwd()
	}
	return filepath.Abs(dir)
}

// releaseOf gives the kernel release a module directory is named after.
func releaseOf(modules string) string { return filepath.Base(modules) }
